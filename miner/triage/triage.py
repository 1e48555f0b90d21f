"""The triage of a run: every round's RM is loaded once and asked everything, then the findings are grouped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from corpus.records import Finding
from miner.campaign import Campaign
from miner.reach import reaches
from miner.statistics import CONFIDENCE, RESAMPLES, Rate, rate
from miner.triage.attribution import STEPS
from miner.triage.bisect import bisect_rows, started_again_in
from miner.triage.causes import Rarity, cause_of, told
from miner.triage.distance import auroc
from miner.triage.grouping import Group, grouped
from miner.triage.result import FixedByDistance, GroupResult, Interval, TriageResult
from miner.triage.rounds import Placed, code_digest, placed_in_domain, shrunk_of_round, wins_of_round
from miner.triage.settings import TriageSettings
from miner.triage.shrinking import Shrunk
from miner.world import spread

QUERIES_PER_STEP = 3  # of an attribution: a gradient each
AGAIN_SHOWN = 50

Wins = dict[str, dict[int, bool]]  # by finding, by the RM's round


def triage(campaign: Campaign, settings: TriageSettings) -> TriageResult:
    """Triage the campaign's findings; what is stored already is not measured again. Writes ``triage/triage.json``.

    Raises:
        ConfigError: no findings to triage.
        DataError: a damaged row of an earlier triage.
    """
    everything = campaign.findings()
    chosen = settings.choose(everything)
    notes: list[str] = []
    shrunk: list[Shrunk] = []
    placed: dict[int, Placed] = {}
    wins: Wins = defaultdict(dict)
    with campaign.usage.timed("triage"):
        for number in campaign.rounds_present():
            mine = _of_round(campaign, number, chosen, notes)
            if mine:
                shrunk += shrunk_of_round(campaign, number, mine, settings)
            if mine and settings.distance:
                at = placed_in_domain(campaign, number, mine)
                if isinstance(at, str):
                    notes.append(at)
                else:
                    placed[number] = at
            if settings.bisect:
                for finding_id, won in wins_of_round(campaign, number, chosen).items():
                    wins[finding_id][number] = won
        findings = {f.finding_id: f for f in chosen if f.finding_id in {one.finding_id for one in shrunk}}
        results = _group_results(campaign, findings, {one.finding_id: one for one in shrunk}, wins, settings)
    result = _result(everything, list(findings.values()), shrunk, results, settings)
    bisected = [f for f in findings.values() if settings.bisect]
    result = replace(
        result,
        distances=tuple(placed[number].result for number in sorted(placed)),
        fixed=tuple(_fixed(bisected, wins, placed)),
        bisect=tuple(bisect_rows(bisected, wins)),
        started_again=tuple(f.finding_id for f in bisected if started_again_in(f.round, wins[f.finding_id]))[
            :AGAIN_SHOWN
        ],
        notes=tuple(notes),
    )
    result.write(campaign.folder)
    return result


def _of_round(campaign: Campaign, number: int, chosen: Sequence[Finding], notes: list[str]) -> list[Finding]:
    """The round's findings; those that fooled another RM than the one stored for it are left out, and noted."""
    mine = [finding for finding in chosen if finding.round == number]
    if not mine:
        return []
    same = [finding for finding in mine if finding.rm_fingerprint == campaign.rm(number).fingerprint]
    if len(same) < len(mine):
        notes.append(f"{len(mine) - len(same)} findings of round {number} fooled another RM than the one stored for it")
    return same


def _group_results(
    campaign: Campaign,
    findings: Mapping[str, Finding],
    shrunk: Mapping[str, Shrunk],
    wins: Wins,
    settings: TriageSettings,
) -> tuple[GroupResult, ...]:
    rarity = Rarity.of(p.reference for p in campaign.world.by_split["calibration"] if p.reference is not None)
    groups = grouped([cause_of(one) for one in shrunk.values()], rarity)
    reach = _reach(campaign, [_shown(one, shrunk, findings) for one in groups[: settings.reach_groups]], settings)
    results = []
    for group in groups:
        mine, shown = [findings[one] for one in group.finding_ids], _shown(group, shrunk, findings)
        newest = [wins[f.finding_id][max(wins[f.finding_id])] for f in mine if wins.get(f.finding_id)]
        results.append(
            GroupResult(
                group=group.group,
                cause=told(group.cause),
                count=len(mine),
                prompts=len({finding.prompt_id for finding in mine}),
                forms=dict(Counter(shrunk[f.finding_id].form for f in mine).most_common()),
                attacks=dict(Counter(f.attack for f in mine).most_common()),
                rounds=dict(sorted(Counter(f.round for f in mine).items())),
                representative=shown.response,
                representative_id=shown.finding_id,
                shrink_factor=float(np.median([shrunk[f.finding_id].factor for f in mine])),
                reach=reach.get(shown.finding_id),
                still_wins=sum(newest) if newest else None,
            )
        )
    return tuple(results)


def _shown(group: Group, shrunk: Mapping[str, Shrunk], findings: Mapping[str, Finding]) -> Finding:
    """The group's shortest minimal text, of the highest margin among these, in its finding's place."""
    best = min(
        group.finding_ids, key=lambda one: (len(shrunk[one].minimal), -findings[one].margin, one)
    )  # characters: what a person has to read
    return replace(findings[best], response=shrunk[best].minimal, reward=shrunk[best].reward)


def _reach(campaign: Campaign, shown: Sequence[Finding], settings: TriageSettings) -> dict[str, Rate]:
    """Of how many other prompts of its split each text wins on, against the RM that it fooled."""
    found: dict[str, Rate] = {}
    with campaign.observer.stage("reach of the largest groups"):
        for number, split in sorted({(finding.round, finding.split) for finding in shown}):
            mine = [finding for finding in shown if (finding.round, finding.split) == (number, split)]
            pool = campaign.world.by_split[split]
            prompts = spread(pool, min(settings.reach_prompts, len(pool)), seed=campaign.config.seed)
            for one in reaches(campaign.rm(number), campaign.criteria(number), mine, prompts):
                found[one.finding_id] = rate(one.wins, groups=one.groups)
    return found


def _result(
    everything: Sequence[Finding],
    findings: Sequence[Finding],
    shrunk: Sequence[Shrunk],
    groups: tuple[GroupResult, ...],
    settings: TriageSettings,
) -> TriageResult:
    by_id = {one.finding_id: one for one in shrunk}
    mine = [by_id[finding.finding_id] for finding in findings]
    prompts = [finding.prompt_id for finding in findings]
    n_attributed = sum(one.top is not None for one in mine)
    queries = {
        "minimal text": sum(one.queries for one in mine),
        "cause": sum(one.cause_queries for one in mine),
        "attribution": QUERIES_PER_STEP * STEPS * n_attributed,
    }
    return TriageResult(
        n=len(mine),
        of=len(everything),
        shrink_factor=median_interval([one.factor for one in mine], prompts) if mine else None,
        one_minimal=rate([one.one_minimal for one in mine], groups=prompts) if mine else None,
        queries=queries,
        queries_per_finding=sum(queries.values()) / max(1, len(mine)),
        max_queries=settings.max_queries,
        code=code_digest(),
        groups=groups,
    )


def _fixed(findings: Sequence[Finding], wins: Wins, placed: Mapping[int, Placed]) -> list[FixedByDistance]:
    """By round and split: the distance of findings that stopped winning after the next patch, to that of the others."""
    rows = []
    for number, split in sorted({(finding.round, finding.split) for finding in findings}):
        if number not in placed or not any(number + 1 in by_round for by_round in wins.values()):
            continue
        mine = [finding for finding in findings if (finding.round, finding.split) == (number, split)]
        distance = np.array([placed[number].by_finding[finding.finding_id] for finding in mine])
        fixed = np.array([not wins[finding.finding_id][number + 1] for finding in mine])
        prompts = np.array([finding.prompt_id for finding in mine])
        known = 0 < fixed.sum() < len(mine)
        rows.append(
            FixedByDistance(
                round=number,
                split=split,
                fixed=int(fixed.sum()),
                n=len(mine),
                auroc=auroc(distance[fixed], distance[~fixed], prompts[fixed].tolist(), prompts[~fixed].tolist())
                if known
                else None,
            )
        )
    return rows


def median_interval(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Interval:
    """The median with a bootstrap interval over groups."""
    ordered = np.argsort(values, kind="stable")
    sorted_values = np.array(values)[ordered]
    names, group = np.unique(np.array(groups)[ordered], return_inverse=True)
    rng, medians = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[group]
        reached = np.cumsum(drawn)
        medians.append(sorted_values[np.searchsorted(reached, reached[-1] / 2)])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, (tail, 1 - tail))
    return Interval(float(np.median(sorted_values)), len(values), float(low), float(high))
