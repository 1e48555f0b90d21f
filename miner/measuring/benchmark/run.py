"""Runs the suite against each RM and replays stored findings; every RM has a folder of its own, so it resumes."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from corpus.records import Attempt, Finding, digest
from miner.campaigns.campaign import Campaign
from miner.campaigns.evaluation import attack_results
from miner.campaigns.reach import reach_results
from miner.campaigns.requirements import unable
from miner.campaigns.stages import take_clean_outcomes
from miner.checkpoints.batching import release_memory
from miner.checkpoints.folders import resolve_folder
from miner.checkpoints.identity import fingerprint
from miner.config.campaign import CONTROL, CampaignConfig, parse_config
from miner.config.kinds import REWARD_MODELS, kind_called
from miner.config.reward_model import RewardModelSection
from miner.errors import ConfigError, ModelError, RmMinerError, TooLongError
from miner.judging.criteria import Criteria
from miner.measuring.benchmark.entrants import Entrants
from miner.measuring.benchmark.report import BenchReport, BenchRow, Comparison, Example, Replayed, means, ranked
from miner.measuring.benchmark.suite import Suite
from miner.measuring.doctor.behaviour import TRIVIAL
from miner.progress import Advance, Observer, untold
from miner.rewards.base import Pair, RewardModel
from miner.searching.confirmation import Confirmation
from miner.searching.shards import WHOLE, Shard
from miner.statistics import Difference, Rate, median_cost, rate, simultaneous_differences, survival

Publish = Callable[[BenchReport, Path], object]  # a page of the report, in the folder
Costs = dict[str, float]  # by prompt; infinite where nothing was found within the budget


def suite_config(
    name: str, table: Mapping[str, Any], out: Path, suite: Suite, settings: Mapping[str, Any]
) -> CampaignConfig:
    """The campaign of one RM: its ``table`` of a campaign file, and under ``settings``, by dotted key, what all share.

    Its folder is named after the RM, its fingerprint and the suite's version: another of these has another folder.

    Raises:
        ConfigError: settings that do not go with this RM.
        ModelError: there is no such model.
    """
    raw = {
        "rm": table,
        "out": str(out),
        "attacks": suite.sections(),
        "evaluate": {"prompts": suite.prompts, "budget_queries": suite.budget_queries, "seeds": suite.seeds},
    }
    config = parse_config(raw, settings, where=name)
    bare = name.replace(":", "-").replace("/", "-").strip("-.")
    return config.model_copy(update={"out": str(out / f"{bare}-{_identity(config.rm)[:8]}-suite{suite.version}")})


def _identity(section: RewardModelSection) -> str:
    if section.kind == "remote":  # what is served there is looked at when it is opened
        return digest(section.model_dump(mode="json", include={"source", "remote"}))
    if not kind_called(section.kind, REWARD_MODELS).is_folder:
        return digest(section.model_dump(mode="json"))
    return fingerprint(resolve_folder(str(section.source), section.revision))


def bench(
    models: Entrants,
    *,
    out: Path,
    suite: Suite,
    settings: Mapping[str, Any],
    observer: Observer,
    findings: Sequence[Finding] = (),
    attack: bool = True,
    command: str,
    publish: Publish,
    shard: Shard = WHOLE,
) -> BenchReport:
    """The report on ``models``: the suite unless ``attack`` is off, and ``findings`` replayed.

    Writes ``bench.json`` and has the report published, anew after every RM. One of several that cannot be measured has
    a row that says why. Processes with a ``shard`` share every RM's attempts.

    Raises:
        ConfigError: nothing to do, or settings that do not go with one of the models.
        ModelError: one of the models is not there; nothing has run. The only one cannot be measured.
    """
    if not attack and not findings:
        raise ConfigError("nothing to do: without the suite, give a corpus that holds findings (--replay CORPUS)")
    configs: dict[str, CampaignConfig] = {}
    with observer.stage("hashing the weights of every RM") as advance:
        for name, table in models.items():
            configs[name] = suite_config(name, table, out, suite, settings)
            advance(len(configs), len(models))
    if attack:
        observer.note(f"at most {suite.queries} queries for each of {len(models)} RMs; an attempt ends at its find")
    results: list[_Measured] = []
    for name, config in configs.items():
        try:
            with observer.stage(f"RM {len(results) + 1} of {len(configs)}, {name}"):
                results.append(_measure(name, Campaign(config, observer, shard=shard), findings, attack=attack))
        except RmMinerError as error:
            if len(configs) == 1:
                raise
            observer.note(f"{name} is left out: {error}")
            results.append(_Measured(BenchRow.without_figures(name, str(error)), {}, {}, ""))
        gc.collect()
        release_memory()  # before the next RM is loaded
        report = _report(results, suite, config.seed, attack=attack, command=command)
        report.write(out)
        publish(report, out)
    return report


def _report(results: Sequence[_Measured], suite: Suite, seed: int, *, attack: bool, command: str) -> BenchReport:
    by_attack = {one.row.model: one.costs for one in results if one.costs}
    shared = tuple(sorted(set.intersection(*map(set, by_attack.values())))) if by_attack else ()
    costs = {model: found for model, of_model in by_attack.items() if (found := first_find(of_model, shared))}
    mean_cost = means(costs, suite.budget_queries)
    rows = ranked([
        _with_costs(one.row, costs.get(one.row.model), suite.budget_queries, mean_cost.get(one.row.model))
        for one in results
    ])  # fmt: skip
    groups = {prompt_id: group for one in results for prompt_id, group in one.groups.items()}
    compared = [row.model for row in rows if row.model in costs]
    return BenchReport(
        suite=suite,
        attacked=attack,
        data=next((one.data_hash for one in results if one.data_hash), ""),
        seed=seed,
        ranked_by=shared,
        rows=rows,
        comparisons=_comparisons(compared, costs, suite.budget_queries, groups),
        command=command,
    )


def _with_costs(row: BenchRow, costs: Costs | None, budget: int, mean_cost: float | None) -> BenchRow:
    if costs is None:
        return row
    found = list(costs.values())
    return replace(
        row,
        broken=rate([math.isfinite(cost) for cost in found]),
        cost=median_cost(found, budget),
        survival=survival([int(cost) if math.isfinite(cost) else None for cost in found], budget),
        mean_cost=mean_cost,
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """An RM's row without its costs, the costs by attack, and the group of each prompt."""

    row: BenchRow
    costs: Mapping[str, Costs]
    groups: Mapping[str, str]
    data_hash: str


def _measure(name: str, campaign: Campaign, findings: Sequence[Finding], *, attack: bool) -> _Measured:
    observer = campaign.observer
    left_out = _unable(campaign) if attack else ()
    if attack:
        campaign.evaluate(0, without=left_out)
    attempts = campaign.attempts_of(0, "held_out") if attack else []
    single = [attempt for attempt in attempts if len(attempt.prompt_ids) == 1]
    reach = reach_results(campaign.run.reaches(0)) if attack else []
    rm, outcomes = campaign.models.rm(0), take_clean_outcomes(campaign, 0)
    criteria = campaign.models.criteria(0)
    with observer.stage("replaying stored findings") if findings else nullcontext(untold) as advance:
        replayed = replay(rm, criteria, findings, advance)
    with observer.stage("rewards of trivial answers") as advance:
        trivial = _trivial(rm, campaign, advance)
    row = BenchRow(
        model=name,
        rm_fingerprint=rm.fingerprint,
        clean_accuracy=outcomes.accuracy() if outcomes else None,
        trivial=trivial,
        broken=None,
        cost=None,
        survival=None,
        mean_cost=None,
        unable=left_out,
        errors=sum(attempt.outcome == "error" for attempt in attempts),
        attacks=tuple(attack_results(single, campaign.findings(), seen_families=(), seen_forms=())),
        reach=tuple(reach),
        examples=_examples(campaign.findings()) if attack else (),
        replay=replayed.share,
        replayed=replayed.by_form,
        not_scored=replayed.not_scored,
    )
    groups = {prompt.prompt_id: prompt.group_key for prompt in campaign.world.by_split["held_out"]}
    return _Measured(row, break_costs(single), groups, campaign.world.data_hash)


def break_costs(attempts: Sequence[Attempt]) -> dict[str, Costs]:
    """By attack, the control left out, and prompt the fewest queries to a find, infinite where there was none. A prompt
    with an error is left out: what the attack would have found is not known."""
    costs: dict[str, Costs] = {}
    for attack in sorted({attempt.attack for attempt in attempts} - {CONTROL}):
        tried = [attempt for attempt in attempts if attempt.attack == attack]
        unknown = {attempt.prompt_ids[0] for attempt in tried if attempt.outcome == "error"}
        for attempt in tried:
            prompt_id = attempt.prompt_ids[0]
            if prompt_id not in unknown:
                spent = math.inf if attempt.queries_to_find is None else float(attempt.queries_to_find)
                of_attack = costs.setdefault(attack, {})
                of_attack[prompt_id] = min(of_attack.get(prompt_id, math.inf), spent)
    return costs


def first_find(costs: Mapping[str, Costs], attacks: Sequence[str]) -> Costs:
    """By prompt the fewest queries that any of ``attacks`` needed, of the prompts on which each was tried."""
    prompts = set.intersection(*(set(costs[attack]) for attack in attacks)) if attacks else set()
    return {prompt_id: min(costs[attack][prompt_id] for attack in attacks) for prompt_id in sorted(prompts)}


def _unable(campaign: Campaign) -> tuple[str, ...]:
    """The suite's attacks that this RM cannot answer, as gradient attacks on one that only scores."""
    found = unable(campaign.models, campaign.config.attacks, 0)
    for error in found.values():
        campaign.observer.note(f"left out of the suite: {error}")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Replay:
    """Findings scored again from text. ``share`` is of those that the RM takes, None where it takes none."""

    share: Rate | None
    by_form: tuple[Replayed, ...]
    not_scored: int


def replay(rm: RewardModel, criteria: Criteria, findings: Sequence[Finding], progress: Advance = untold) -> Replay:
    """How many of ``findings`` win against ``rm``."""
    taken = _taken(rm, findings)
    if not taken:
        return Replay(None, (), len(findings))
    wins = Confirmation(rm=rm, criteria=criteria).win_again(taken, progress)
    by_form = []
    for form in sorted({finding.form for finding in taken}):
        mine = [(won, finding) for won, finding in zip(wins, taken, strict=True) if finding.form == form]
        by_form.append(Replayed(form=form, still_winning=_rate_of(*zip(*mine, strict=True))))
    return Replay(_rate_of(wins, taken), tuple(by_form), len(findings) - len(taken))


def _taken(rm: RewardModel, findings: Sequence[Finding]) -> list[Finding]:
    """The findings that ``rm`` can score, with their references: all at once where it takes them all."""
    pairs = [[Pair(f.prompt, text) for text in (f.response, f.reference) if text is not None] for f in findings]
    try:
        rm.lengths([pair for of_finding in pairs for pair in of_finding])
    except (TooLongError, ModelError):
        return [finding for finding, of_finding in zip(findings, pairs, strict=True) if all(map(rm.takes, of_finding))]
    return list(findings)


def _examples(findings: Sequence[Finding]) -> tuple[Example, ...]:
    """Of each attack its finding with the highest margin."""
    best: dict[str, Finding] = {}
    for finding in sorted(findings, key=lambda one: (-one.margin, one.finding_id)):
        best.setdefault(finding.attack, finding)
    return tuple(
        Example(
            attack=one.attack,
            form=one.form,
            prompt=one.prompt[-1].content,
            reference=one.reference,
            response=one.response,
            margin=one.margin,
        )
        for _, one in sorted(best.items())
    )


def _rate_of(wins: Sequence[bool], findings: Sequence[Finding]) -> Rate:
    return rate(wins, groups=[finding.prompt_id for finding in findings])


def _trivial(rm: RewardModel, campaign: Campaign, progress: Advance) -> Rate | None:
    n = min(campaign.config.evaluate.prompts, len(campaign.world.by_split["held_out"]))
    beaten = []
    prompts = campaign.world.sample("held_out", n, seed=campaign.config.seed) if n else ()
    for done, prompt in enumerate(prompts, start=1):
        if prompt.reference is not None:
            pairs = [Pair(prompt.conversation, text) for text in (prompt.reference, *TRIVIAL.values())]
            if all(map(rm.takes, pairs)):
                good, *others = rm.exact_rewards(pairs)
                beaten.append(bool(np.max(others) > good))
        progress(done, len(prompts))
    return rate(beaten) if beaten else None


def _comparisons(
    models: Sequence[str], costs: Mapping[str, Costs], budget: int, groups: Mapping[str, str]
) -> tuple[Comparison, ...]:
    """Each two of ``models`` on the prompts that all have, as shares of the budget: two that nothing broke may differ
    on prompts unseen."""
    pairs = list(combinations(models, 2))
    shared = sorted(set.intersection(*(set(costs[model]) for model in models))) if pairs else []
    if len(shared) < 2:
        return ()
    spent = {model: np.array([min(costs[model][p], budget) / budget for p in shared]) for model in models}
    first, second = (np.stack([spent[pair[side]] for pair in pairs], 1) for side in (0, 1))
    differences = simultaneous_differences(first, second, [groups[prompt_id] for prompt_id in shared])
    return tuple(
        Comparison(
            model=model,
            other=other,
            cost=Difference(one.value * budget, one.n, one.low * budget, one.high * budget),
        )
        for (model, other), one in zip(pairs, differences, strict=True)
    )
