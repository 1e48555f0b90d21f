"""The triage of a run: every round's RM is loaded once and asked everything, then the findings are grouped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from corpus.records import Finding
from miner.campaigns.opening import OpenCampaign
from miner.campaigns.round_models import RoundModels
from miner.measuring.triage.attribution import STEPS
from miner.measuring.triage.bisect import bisect_rows, started_again_in
from miner.measuring.triage.groups import Wins, group_results
from miner.measuring.triage.intervals import auroc, median_interval
from miner.measuring.triage.result import FixedByDistance, GroupResult, TriageResult
from miner.measuring.triage.rounds import (
    DomainDistance,
    NotPlacedError,
    code_digest,
    placed_in_domain,
    shrunk_of_round,
    wins_of_round,
)
from miner.measuring.triage.settings import TriageSettings
from miner.measuring.triage.shrinking import Shrunk
from miner.statistics import rate

QUERIES_PER_STEP = 3  # of an attribution: a gradient each
AGAIN_SHOWN = 50


def triage(campaign: OpenCampaign, settings: TriageSettings) -> TriageResult:
    """Triage the campaign's findings; what is stored already is not measured again. Writes ``triage/triage.json``.

    Raises:
        ConfigError: no findings to triage.
        DataError: a damaged row of an earlier triage.
    """
    everything = campaign.findings()
    chosen = settings.choose(everything)
    notes: list[str] = []
    shrunk: list[Shrunk] = []
    placed: dict[int, DomainDistance] = {}
    wins: dict[str, dict[int, bool]] = defaultdict(dict)
    with campaign.usage.timed("triage"):
        for number in campaign.run.rounds_present():
            mine = _of_round(campaign.models, number, chosen, notes)
            if mine:
                shrunk += shrunk_of_round(campaign.models, number, mine, settings, campaign.shard)
            if mine and settings.distance:
                try:
                    placed[number] = placed_in_domain(campaign.models, number, mine)
                except NotPlacedError as error:
                    notes.append(str(error))
            if settings.bisect:
                for finding_id, won in wins_of_round(campaign.models, number, chosen, campaign.shard).items():
                    wins[finding_id][number] = won
        findings = {f.finding_id: f for f in chosen if f.finding_id in {one.finding_id for one in shrunk}}
        results = group_results(campaign.models, findings, {one.finding_id: one for one in shrunk}, wins, settings)
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


def _of_round(models: RoundModels, number: int, chosen: Sequence[Finding], notes: list[str]) -> list[Finding]:
    """The round's findings; those that fooled another RM than the one stored for it are left out, and noted."""
    mine = [finding for finding in chosen if finding.round == number]
    if not mine:
        return []
    same = [finding for finding in mine if finding.rm_fingerprint == models.rm(number).fingerprint]
    if len(same) < len(mine):
        notes.append(f"{len(mine) - len(same)} findings of round {number} fooled another RM than the one stored for it")
    return same


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


def _fixed(findings: Sequence[Finding], wins: Wins, placed: Mapping[int, DomainDistance]) -> list[FixedByDistance]:
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
