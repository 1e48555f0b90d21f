"""Over-optimisation studies as ``rmminer overopt`` leaves them: real logs, summarised by the real summary."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from corpus.records import conversation_id
from miner.measuring.best_of_n import Pool
from miner.measuring.overopt.log import RunLog
from miner.measuring.overopt.pools import _write as write_pools
from miner.measuring.overopt.results import RunInfo, StudySummary
from miner.measuring.overopt.rows import SampleRow
from miner.measuring.overopt.summary import summarise_study
from tests.reporting.samples import HOSTILE, PROMPTS, conversation

STEPS = range(0, 24, 2)
N_PROMPTS = 12
TURN = 10  # the step at which a planted run starts to game


def write_study(folder: Path, *, gaming: int = 2, honest: int = 1, pool: bool = False) -> StudySummary:
    """A study of runs that game under a small KL weight, and of runs that do not under a large one."""
    for kl, games, n in ((0.05, True, gaming), (1.0, False, honest)):
        for seed in range(n):
            write_log(folder / f"rl-kl{kl:g}-seed{seed}", kl=kl, games=games, seed=seed)
    if pool:
        write_pool(folder)
    return summarise_study(folder)


def write_log(folder: Path, *, kl: float, games: bool, seed: int, gold: bool = True) -> None:
    """Reward rises to the end; gold rises with it until ``TURN`` and, where the run games, falls to nothing after."""
    rng = np.random.default_rng([seed, 17])
    log = RunLog(folder)
    for step in STEPS:
        fallen = max(0, step - TURN) / 12 if games else 0.0
        for n in range(N_PROMPTS):
            worth = min(step, TURN) / 40 + 0.2 - 0.5 * fallen + 0.02 * float(rng.normal())
            log.samples.append(
                row(
                    step,
                    n,
                    proxy=-2 + step / 8 + 3 * fallen + 0.1 * float(rng.normal()),
                    gold=worth if gold else math.nan,
                )
            )
    settings = {"steps": STEPS[-1], "kl": kl, "seed": seed}
    log.write_info(
        RunInfo(name=folder.name, method="rl", settings=settings, models={}, bar={"threshold": 1.2}, status="done")
    )
    log.write_rows()


def row(step: int, n: int, *, proxy: float, gold: float) -> SampleRow:
    name = PROMPTS[n] if n < len(PROMPTS) else f"other{n}"
    return SampleRow(
        step=step, prompt_id=conversation_id(conversation(name)), response=f"{HOSTILE[n % len(HOSTILE)]} {step}",
        proxy=proxy, gold=gold, second=math.nan, kl=step / 4, entropy=1.0, length=9.0, repetition=0.1,
        surprise=math.nan, latent=math.nan, nonsense=0.0,
    )  # fmt: skip


def write_pool(folder: Path) -> None:
    """Pools whose gold is highest between one sample and all: the proxy's best texts are worth nothing."""
    rng = np.random.default_rng(5)
    pools = {}
    for n in range(N_PROMPTS):
        proxy = rng.normal(size=64)
        pools[f"prompt{n}"] = (["text"] * 64, Pool(proxy=proxy, gold=np.where(proxy > 1.8, 0.0, 0.3 + 0.2 * proxy)))
    write_pools(folder / "pool.parquet", pools, "key")
