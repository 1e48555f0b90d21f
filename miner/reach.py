"""How many prompts a text wins on: what a finding on one of them is worth on the others."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from corpus.records import Finding, Prompt, digest
from miner.criteria import Criteria
from miner.publishing import replace_text
from miner.rewards.base import Pair, RewardModel
from miner.statistics import rate
from miner.summary import ReachResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A response scored on prompts that had no part in its search; booleans by prompt, with the prompt's group."""

    finding_id: str
    attack: str
    response: str
    own_prompts: int
    beats_reference: tuple[bool, ...]
    wins: tuple[bool, ...]
    groups: tuple[str, ...]


def reaches(rm: RewardModel, criteria: Criteria, findings: Sequence[Finding], prompts: Sequence[Prompt]) -> list[Reach]:
    """Each different response of ``findings`` on all of ``prompts`` but those it was found on."""
    own: dict[tuple[str, str], set[str]] = defaultdict(set)
    first: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.attempt_id, finding.response)
        own[key].add(finding.prompt_id)
        first.setdefault(key, finding)
    with_reference = [prompt for prompt in prompts if prompt.reference is not None]
    bars = rm.exact_rewards([Pair(p.conversation, str(p.reference)) for p in with_reference]) if with_reference else ()
    reference_of = {p.prompt_id: float(bar) for p, bar in zip(with_reference, bars, strict=True)}
    found = []
    for key, finding in first.items():
        others = [prompt for prompt in prompts if prompt.prompt_id not in own[key]]
        rewards = rm.exact_rewards([Pair(prompt.conversation, finding.response) for prompt in others])
        scored = [(float(reward), reference_of.get(p.prompt_id)) for reward, p in zip(rewards, others, strict=True)]
        found.append(
            Reach(
                finding_id=finding.finding_id,
                attack=finding.attack,
                response=finding.response,
                own_prompts=len(own[key]),
                beats_reference=tuple(reference is not None and reward > reference for reward, reference in scored),
                wins=tuple(criteria.wins(reward, reference) for reward, reference in scored),
                groups=tuple(prompt.group_key for prompt in others),
            )
        )
    return found


def chosen_for_reach(findings: Sequence[Finding], per_attack: int) -> list[Finding]:
    """Findings of at most ``per_attack`` attempts of each attack, by attempt id: a choice that no reward made."""
    attempts: dict[str, set[str]] = defaultdict(set)
    for finding in findings:
        attempts[finding.attack].add(finding.attempt_id)
    kept = {attempt for of_attack in attempts.values() for attempt in sorted(of_attack)[:per_attack]}
    return [finding for finding in sorted(findings, key=lambda f: f.finding_id) if finding.attempt_id in kept]


def reach_results(found: Sequence[Reach]) -> list[ReachResult]:
    """One row per attack: the typical response, and the one that wins on most prompts."""
    rows = []
    for attack in sorted({one.attack for one in found}):
        mine = [one for one in found if one.attack == attack]
        best = max(mine, key=lambda one: (np.mean(one.wins), np.mean(one.beats_reference)))
        rows.append(
            ReachResult(
                attack=attack,
                n=len(mine),
                median_beats_reference=median(float(np.mean(one.beats_reference)) for one in mine),
                median_wins=median(float(np.mean(one.wins)) for one in mine),
                best_response=best.response,
                best_beats_reference=rate(best.beats_reference, groups=best.groups),
                best_wins=rate(best.wins, groups=best.groups),
            )
        )
    return rows


def write_reaches(path: Path, found: Sequence[Reach], prompts: Sequence[Prompt]) -> None:
    stored = {"prompts": _identity(prompts), "reaches": [asdict(one) for one in found]}
    replace_text(path, json.dumps(stored) + "\n")


def read_reaches(path: Path, prompts: Sequence[Prompt] | None = None) -> list[Reach]:
    """What is stored at ``path``: nothing where there is no such file, or it was measured on other ``prompts``."""
    if not path.exists():
        return []
    stored = json.loads(path.read_text(encoding="utf-8"))
    if prompts is not None and stored["prompts"] != _identity(prompts):
        return []
    return [
        Reach(
            finding_id=row["finding_id"],
            attack=row["attack"],
            response=row["response"],
            own_prompts=row["own_prompts"],
            beats_reference=tuple(row["beats_reference"]),
            wins=tuple(row["wins"]),
            groups=tuple(row["groups"]),
        )
        for row in stored["reaches"]
    ]


def _identity(prompts: Sequence[Prompt]) -> str:
    return digest([prompt.prompt_id for prompt in prompts])
