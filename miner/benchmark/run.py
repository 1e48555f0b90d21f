"""Runs the suite against each RM and replays stored findings; every RM has a folder of its own, so it resumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from corpus.records import Attempt, Finding, digest
from miner.benchmark.report import BenchReport, BenchRow, Comparison, Replayed, ranked
from miner.benchmark.suite import Suite
from miner.campaign import Campaign
from miner.config import CONTROL, CampaignConfig
from miner.criteria import Criteria
from miner.doctor.behaviour import TRIVIAL
from miner.errors import ConfigError
from miner.evaluation import attack_results, still_wins
from miner.progress import Observer
from miner.rewards.base import Pair, RewardModel
from miner.statistics import Rate, median_cost, paired_difference, rate

Costs = dict[str, float]  # by prompt


def suite_config(model: str, out: Path, suite: Suite, settings: Mapping[str, Any]) -> CampaignConfig:
    """The campaign of one RM; ``settings`` are those that all RMs share (data, seed, device, checks)."""
    shared = dict(settings)
    rm = {**shared.pop("rm", {}), "source": model}
    return CampaignConfig.model_validate(
        {
            **shared,
            "rm": rm,
            "out": str(out / f"{Path(model).name}-{digest(model)[:8]}"),
            "attacks": [{"name": name} for name in suite.attacks],
            "evaluate": {"prompts": suite.prompts, "budget_queries": suite.budget_queries, "seeds": suite.seeds},
        }
    )


def bench(
    models: Sequence[str],
    *,
    out: Path,
    suite: Suite,
    settings: Mapping[str, Any],
    observer: Observer,
    findings: Sequence[Finding] = (),
    attack: bool = True,
    command: str,
) -> BenchReport:
    """The report on ``models``: the suite unless ``attack`` is off, and ``findings`` replayed. Writes ``bench.json``.

    Raises:
        ConfigError: a model named twice, or nothing to do.
    """
    if len(set(models)) < len(models):
        raise ConfigError("a model is named twice; name each once")
    if not attack and not findings:
        raise ConfigError("nothing to do: without the suite, give findings to replay (--replay CORPUS)")
    rows, costs = [], {}
    for model in models:
        campaign = Campaign(suite_config(model, out, suite, settings), observer)
        if attack:
            campaign.evaluate(0)
            costs[model] = break_costs(campaign.attempts_of(0, "held_out"))
        rows.append(_row(model, campaign, findings, costs.get(model)))
    mean_cost = {model: float(np.mean(list(by_prompt.values()))) for model, by_prompt in costs.items()}
    order = ranked(rows, mean_cost)
    report = BenchReport(
        suite=suite,
        data=campaign.world.data_hash,
        seed=campaign.config.seed,
        rows=order,
        comparisons=_comparisons([row.model for row in order], costs),
        command=command,
    )
    report.write(out)
    return report


def break_costs(attempts: Sequence[Attempt]) -> Costs:
    """By prompt the fewest queries that any attack but the control needed; the largest budget where none found."""
    costs: Costs = {}
    for attempt in attempts:
        if attempt.attack != CONTROL and attempt.outcome != "error":
            spent = float(attempt.budget if attempt.queries_to_find is None else attempt.queries_to_find)
            prompt_id = attempt.prompt_ids[0]
            costs[prompt_id] = min(costs.get(prompt_id, spent), spent)
    return costs


def _row(model: str, campaign: Campaign, findings: Sequence[Finding], costs: Costs | None) -> BenchRow:
    rm, criteria = campaign.rm(0), campaign.criteria(0)
    attempts = campaign.attempts_of(0, "held_out") if costs is not None else []
    outcomes = campaign.clean_outcomes(0)
    broken = {a.prompt_ids[0] for a in attempts if a.outcome == "found" and a.attack != CONTROL}
    return BenchRow(
        model=model,
        rm_fingerprint=rm.fingerprint,
        clean_accuracy=outcomes.accuracy() if outcomes else None,
        trivial=_trivial(rm, campaign),
        broken=rate([prompt_id in broken for prompt_id in costs]) if costs else None,
        cost=median_cost(list(costs.values()), campaign.config.evaluate.budget_queries) if costs else None,
        attacks=tuple(attack_results(attempts, campaign.findings(), seen_families=(), seen_forms=())),
        **_replay(rm, criteria, findings),
    )


def _replay(rm: RewardModel, criteria: Criteria, findings: Sequence[Finding]) -> dict[str, Any]:
    if not findings:
        return {"replay": None, "replayed": ()}
    wins = still_wins(rm, criteria, findings)
    forms = sorted({finding.form for finding in findings})
    return {
        "replay": _rate_of(wins, findings),
        "replayed": tuple(
            Replayed(
                form=form,
                still_winning=_rate_of(
                    [won for won, f in zip(wins, findings, strict=True) if f.form == form],
                    [f for f in findings if f.form == form],
                ),
            )
            for form in forms
        ),
    }


def _rate_of(wins: Sequence[bool], findings: Sequence[Finding]) -> Rate:
    return rate(wins, groups=[finding.prompt_id for finding in findings])


def _trivial(rm: RewardModel, campaign: Campaign) -> Rate:
    prompts = campaign.world.sample("held_out", campaign.config.evaluate.prompts, seed=campaign.config.seed)
    asked = [prompt for prompt in prompts if prompt.reference is not None]
    good = rm.exact_rewards([Pair(p.conversation, str(p.reference)) for p in asked])
    best = np.max([rm.exact_rewards([Pair(p.conversation, text) for p in asked]) for text in TRIVIAL.values()], axis=0)
    return rate(best > good)


def _comparisons(models: Sequence[str], costs: Mapping[str, Costs]) -> tuple[Comparison, ...]:
    found = []
    for model, other in combinations([m for m in models if m in costs], 2):
        both = [prompt_id for prompt_id in costs[model] if prompt_id in costs[other]]
        first, second = ([costs[name][prompt_id] for prompt_id in both] for name in (model, other))
        if len(both) > 1:
            found.append(Comparison(model=model, other=other, cost=paired_difference(first, second, groups=None)))
    return tuple(found)
