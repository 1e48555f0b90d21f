"""Groups as they are shown: what members share, one minimal text that stands for them, and how far that reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from corpus.records import Finding
from miner.campaigns.reach import reaches
from miner.campaigns.round_models import RoundModels
from miner.measuring.triage.causes import Rarity, cause_of, describe
from miner.measuring.triage.grouping import Group, grouped
from miner.measuring.triage.result import GroupResult
from miner.measuring.triage.settings import TriageSettings
from miner.measuring.triage.shrinking import Shrunk
from miner.statistics import Rate, rate
from miner.worlds.world import spread

Wins = Mapping[str, Mapping[int, bool]]  # by finding, by the RM's round


def group_results(
    models: RoundModels,
    findings: Mapping[str, Finding],
    shrunk: Mapping[str, Shrunk],
    wins: Wins,
    settings: TriageSettings,
) -> tuple[GroupResult, ...]:
    """The groups, largest first, each with its representative; the largest with that text's reach."""
    rarity = Rarity.of(p.reference for p in models.world.by_split["calibration"] if p.reference is not None)
    with models.observer.stage("grouping findings by cause"):
        groups = grouped([cause_of(one) for one in shrunk.values()], rarity)
    reach = _reach(models, [_shown(one, shrunk, findings) for one in groups[: settings.reach_groups]], settings)
    results = []
    for group in groups:
        mine, shown = [findings[one] for one in group.finding_ids], _shown(group, shrunk, findings)
        newest = [wins[f.finding_id][max(wins[f.finding_id])] for f in mine if wins.get(f.finding_id)]
        results.append(
            GroupResult(
                group=group.group,
                cause=describe(group.cause),
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


def _reach(models: RoundModels, shown: Sequence[Finding], settings: TriageSettings) -> dict[str, Rate]:
    """Of how many other prompts of its split each text wins on, against the RM that it fooled."""
    found: dict[str, Rate] = {}
    with models.observer.stage("reach of the largest groups") as advance:
        for number, split in sorted({(finding.round, finding.split) for finding in shown}):
            mine = [finding for finding in shown if (finding.round, finding.split) == (number, split)]
            pool = models.world.by_split[split]
            prompts = spread(pool, min(settings.reach_prompts, len(pool)), seed=models.config.seed)
            for one in reaches(models.rm(number), models.criteria(number), mine, prompts):
                found[one.finding_id] = rate(one.wins, groups=one.groups)
            advance(len(found), len(shown))
    return found
