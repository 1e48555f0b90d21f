"""What it costs that a search is the same in any company: where the RM ranks coarsely its batches are its own.

The same searches are run with their texts pooled into common batches and apart, in turn, and timed by the processor
time of this process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from attacks.gcg import GCG
from corpus.records import Prompt
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.searching.attempts import RoundContext, plan_attempt
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from miner.statistics import paired_difference
from scripts.drills.mining import EverythingIsNonsense
from scripts.search_bench.parts import no_criteria


def measure_company(
    rm: TransformerRewardModel, prompts: Sequence[Prompt], *, repeats: int, budget: int = 256
) -> dict[str, Any]:
    """Queries per second of ``gcg``, apart over pooled: the geometric mean of paired ratios, with its interval."""
    rates: dict[str, list[float]] = {"apart": [], "pooled": []}
    for at in range(repeats + 1):
        for how in rates if at % 2 else reversed(rates):
            rates[how].append(_rate(rm, prompts, budget, pooled=how == "pooled", seed=at))
    apart, pooled = (np.log(rates[how][1:]) for how in ("apart", "pooled"))  # the first round warms up
    ratio = paired_difference(list(apart), list(pooled), groups=None)
    return {
        "searches": len(prompts),
        "budget": budget,
        "dtype": rm.ranking_dtype,
        "queries_per_second": {how: [round(value, 1) for value in values[1:]] for how, values in rates.items()},
        "ratio": {key: float(np.exp(getattr(ratio, key))) for key in ("value", "low", "high")} | {"n": repeats},
        "bar": 0.9,
        "met": bool(np.exp(ratio.value) >= 0.9),
    }


def _rate(rm: TransformerRewardModel, prompts: Sequence[Prompt], budget: int, *, pooled: bool, seed: int) -> float:
    context = RoundContext(campaign_id="company", round=0, rm=rm, criteria_hash="none", seed=seed)
    plans = [plan_attempt(context, GCG(), [prompt], seed=seed, budget=budget) for prompt in prompts]
    own = rm.batch_invariant
    rm.batch_invariant = pooled
    try:
        driver = Driver(
            oracle=Oracle(rm=rm), criteria=no_criteria(), certifier=EverythingIsNonsense(), in_flight=len(plans)
        )
        started = time.process_time()
        queries = sum(result.attempt.queries for result in driver.run(plans))
        return queries / (time.process_time() - started)
    finally:
        rm.batch_invariant = own
