"""How many prompts a text wins on: what a finding on one of them is worth on the others."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from corpus.records import Finding, Prompt, digest
from miner.campaigns.results import ReachResult
from miner.files import replace_text
from miner.judging.criteria import Criteria
from miner.progress import Advance, untold
from miner.rewards.base import Pair, RewardModel
from miner.searching.confirmation import Confirmation
from miner.statistics import Rate, rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A response scored on prompts that had no part in its search; by prompt, with the prompt's group.

    ``beats_reference`` is None where the prompt has no reference.
    """

    finding_id: str
    attack: str
    response: str
    own_prompts: int
    beats_reference: tuple[bool | None, ...]
    wins: tuple[bool, ...]
    groups: tuple[str, ...]


def reaches(
    rm: RewardModel,
    criteria: Criteria,
    findings: Sequence[Finding],
    prompts: Sequence[Prompt],
    progress: Advance = untold,
) -> list[Reach]:
    """Each different response of ``findings`` on all of ``prompts`` but those it was found on, and those with which it
    is too long for the RM."""
    if not findings:
        return []
    own: dict[tuple[str, str], set[str]] = defaultdict(set)
    first: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.attempt_id, finding.response)
        own[key].add(finding.prompt_id)
        first.setdefault(key, finding)
    confirmation = Confirmation(rm=rm, criteria=criteria)
    references = [None if p.reference is None else Pair(p.conversation, p.reference) for p in prompts]
    to_beat = zip(prompts, confirmation.reference_rewards(references), strict=True)
    reference_of = {p.prompt_id: bar for p, bar in to_beat if bar is not None and not math.isnan(bar)}
    found = []
    for done, (key, finding) in enumerate(first.items()):
        progress(done, len(first))
        others = [
            prompt
            for prompt in prompts
            if prompt.prompt_id not in own[key] and confirmation.fits(Pair(prompt.conversation, finding.response))
        ]
        if not others:
            continue
        bars = [reference_of.get(prompt.prompt_id) for prompt in others]
        pairs = [Pair(prompt.conversation, finding.response) for prompt in others]
        rewards = confirmation.rewards(pairs, [confirmation.bar(bar) for bar in bars])
        scored = [(float(reward), bar) for reward, bar in zip(rewards, bars, strict=True)]
        found.append(
            Reach(
                finding_id=finding.finding_id,
                attack=finding.attack,
                response=finding.response,
                own_prompts=len(own[key]),
                beats_reference=tuple(None if bar is None else reward > bar for reward, bar in scored),
                wins=tuple(confirmation.wins(reward, reference) for reward, reference in scored),
                groups=tuple(prompt.group_key for prompt in others),
            )
        )
    progress(len(first), len(first))
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
        best = max(mine, key=lambda one: (np.mean(one.wins), _share(one) or 0.0))
        shares = [share for one in mine if (share := _share(one)) is not None]
        rows.append(
            ReachResult(
                attack=attack,
                n=len(mine),
                median_beats_reference=median(shares) if shares else None,
                median_wins=median(float(np.mean(one.wins)) for one in mine),
                best_response=best.response,
                best_beats_reference=_rate_of_beaten(best),
                best_wins=rate(best.wins, groups=best.groups),
            )
        )
    return rows


def _share(one: Reach) -> float | None:
    """The share of references beaten, of those there are."""
    known = [beaten for beaten in one.beats_reference if beaten is not None]
    return float(np.mean(known)) if known else None


def _rate_of_beaten(one: Reach) -> Rate | None:
    both = zip(one.beats_reference, one.groups, strict=True)
    known = [(beaten, group) for beaten, group in both if beaten is not None]
    return rate([beaten for beaten, _ in known], groups=[group for _, group in known]) if known else None


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
