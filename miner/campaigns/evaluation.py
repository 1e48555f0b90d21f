"""What a round's attempts say: success by attack, break cost, clean accuracy, and which old findings still win."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attacks import known_attacks
from corpus.records import Attempt, Finding, Form, Prompt, digest
from miner.campaigns.results import AttackResult, Contrast, CostRatio, FormCount, TransferCell
from miner.config.campaign import CONTROL, PLAIN
from miner.judging.criteria import Criteria
from miner.progress import Advance, untold
from miner.rewards.base import Pair, RewardModel
from miner.rewards.compute.parts import exact_in_parts
from miner.rewards.compute.refusals import readable
from miner.searching.confirmation import Confirmation
from miner.statistics import Difference, Rate, SurvivalCurve, paired_difference, paired_ratio, rate, survival

UNKNOWN = Rate(0.0, 0, 0.0, 1.0)  # of nothing: any share may be the true one


@dataclass(frozen=True, slots=True)
class CleanOutcomes:
    """Per clean pair: does the RM prefer the good answer? In the order of the prompts, with the pair's group.

    ``rejected_per_prompt`` is how many rejected answers of a prompt were compared with, None where all were.
    """

    preferred: tuple[bool, ...]
    groups: tuple[str, ...]
    rejected_per_prompt: int | None = None

    @classmethod
    def read(cls, path: Path) -> CleanOutcomes:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(stored["preferred"]), tuple(stored["groups"]), stored.get("rejected_per_prompt"))

    def accuracy(self) -> Rate:
        return rate(self.preferred, groups=self.groups)

    def change_since(self, before: CleanOutcomes) -> Difference:
        """This accuracy minus the one before, pair by pair, clustered by group."""
        return paired_difference(
            [float(p) for p in self.preferred], [float(p) for p in before.preferred], groups=self.groups
        )


def clean_outcomes(
    rm: RewardModel,
    prompts: Sequence[Prompt],
    progress: Advance = untold,
    *,
    rejected_per_prompt: int | None = None,
) -> CleanOutcomes | None:
    """Preference of every reference over each of its rejected answers, or over the first ``rejected_per_prompt``; None
    where no prompt has both.

    Left out are pairs of which the RM leaves one without a reward, and prompts with an answer that it cannot take.
    """
    known = [
        (prompt.group_key, [Pair(prompt.conversation, text) for text in (prompt.reference, *rejected)])
        for prompt in prompts
        if prompt.reference is not None and (rejected := prompt.rejected[:rejected_per_prompt])
    ]
    taken = set(readable(rm, [pair for _, answers in known for pair in answers]).pairs)
    texts: list[Pair] = []
    rows: list[tuple[int, int, str]] = []  # indices of the good and the bad text, and the group
    for group, answers in known:
        if not taken.issuperset(answers):
            continue
        rows += [(len(texts), len(texts) + n, group) for n in range(1, len(answers))]
        texts += answers
    if not rows:
        return None
    rewards = exact_in_parts(rm, texts, progress)
    rows = [row for row in rows if np.isfinite(rewards[[row[0], row[1]]]).all()]
    if not rows:
        return None
    return CleanOutcomes(
        tuple(bool(rewards[good] > rewards[bad]) for good, bad, _ in rows),
        tuple(group for _, _, group in rows),
        rejected_per_prompt,
    )


def attack_results(
    attempts: Sequence[Attempt],
    findings: Sequence[Finding],
    *,
    seen_families: Collection[str],
    seen_forms: Collection[Form],
) -> list[AttackResult]:
    """One row per attack, its hyper-parameters and budget, by name."""
    rows: dict[tuple[str, int, str], list[Attempt]] = {}
    for attempt in sorted(attempts, key=lambda attempt: attempt.attack):
        rows.setdefault((attempt.attack, attempt.budget, digest(dict(attempt.attack_params))), []).append(attempt)
    return [_attack_result(group, findings, seen_families, seen_forms) for group in rows.values()]


def _attack_result(
    attempts: Sequence[Attempt],
    findings: Sequence[Finding],
    seen_families: Collection[str],
    seen_forms: Collection[Form],
) -> AttackResult:
    first, n_all = attempts[0], len(attempts)
    attempts = [attempt for attempt in attempts if attempt.outcome != "error"]
    if not attempts:
        return _failed(first, n_all, seen_families)
    clusters = [attempt.prompt_ids[0] for attempt in attempts]
    found = rate([attempt.outcome == "found" for attempt in attempts], groups=clusters)
    curve = survival([attempt.queries_to_find for attempt in attempts], first.budget, groups=clusters)
    ids = {attempt.attempt_id for attempt in attempts}
    forms = Counter(finding.form for finding in findings if finding.attempt_id in ids)
    return AttackResult(
        attack=first.attack,
        attack_params=dict(first.attack_params),
        family=first.family,
        split=first.split,
        seen=first.family in seen_families,
        n=found.n,
        errors=n_all - found.n,
        found=sum(attempt.outcome == "found" for attempt in attempts),
        rate=found.value,
        low=found.low,
        high=found.high,
        median_queries=curve.median,
        budget=first.budget,
        beats_reference=rate([a.queries_to_beat_reference is not None for a in attempts], groups=clusters),
        beats_quantile=rate([a.queries_to_beat_quantile is not None for a in attempts], groups=clusters),
        forms=[FormCount(form=form, seen=form in seen_forms, found=n) for form, n in sorted(forms.items())],
        survival=curve,
        abstained=sum(bool(one.won_abstained) for one in attempts if one.outcome != "found"),
        acquitted=sum(bool(one.won_acquitted) for one in attempts if one.outcome != "found"),
        adaptive=_is_adaptive(first.attack),
    )


def _failed(first: Attempt, errors: int, seen_families: Collection[str]) -> AttackResult:
    """The row of an attack of which every attempt ended in an error: nothing is known of its success."""
    return AttackResult(
        attack=first.attack,
        attack_params=dict(first.attack_params),
        family=first.family,
        split=first.split,
        seen=first.family in seen_families,
        n=0,
        errors=errors,
        found=0,
        rate=UNKNOWN.value,
        low=UNKNOWN.low,
        high=UNKNOWN.high,
        median_queries=None,
        budget=first.budget,
        beats_reference=None,
        beats_quantile=UNKNOWN,
        forms=[],
        survival=SurvivalCurve(
            times=(0.0, float(first.budget)), survival=(1.0, 1.0), low=(0.0, 0.0), high=(1.0, 1.0), median=None
        ),
        adaptive=_is_adaptive(first.attack),
    )


def contrasts(attempts: Sequence[Attempt]) -> list[Contrast]:
    """Success of every attack minus the control's, paired by prompt and seed, where their budgets are equal."""
    by_attack: dict[tuple[str, str, int], dict[tuple[str, int], Attempt]] = {}
    for attempt in attempts:
        if attempt.outcome != "error":
            which = (attempt.attack, digest(dict(attempt.attack_params)), attempt.budget)
            by_attack.setdefault(which, {})[(attempt.prompt_ids[0], attempt.seed)] = attempt
    controls = {budget: tried for (attack, _, budget), tried in by_attack.items() if attack == CONTROL}
    found = []
    for (attack, _, budget), tried in by_attack.items():
        control = controls.get(budget, {})
        keys = [key for key in tried if key in control]
        if attack != CONTROL and keys:
            difference = paired_difference(
                [float(tried[key].outcome == "found") for key in keys],
                [float(control[key].outcome == "found") for key in keys],
                groups=[key[0] for key in keys],
            )
            ratio = _flops_ratio([tried[key] for key in keys], [control[key] for key in keys])
            found.append(Contrast(attack=attack, control=CONTROL, difference=difference, flops_ratio=ratio))
    return found


def cost_ratios(
    attempts: Sequence[Attempt], as_given: Sequence[Attempt], *, seen_families: Collection[str]
) -> list[CostRatio]:
    """What each attack costs on a patched RM over what it cost on the RM as given, where it had one budget on both."""
    before = _costs(as_given)
    found = []
    for (attack, budget), costs in sorted(_costs(attempts).items()):
        first, adaptive = next(iter(costs.values())), _is_adaptive(attack)
        against = PLAIN if adaptive else attack
        given = before.get((against, budget), {})
        keys = [key for key in costs if key in given]
        if len({prompt for prompt, _ in keys}) < 2:
            continue
        found.append(
            CostRatio(
                attack=attack,
                against=against,
                seen=first.family in seen_families,
                adaptive=adaptive,
                ratio=paired_ratio(
                    [_cost(costs[key]) for key in keys], [_cost(given[key]) for key in keys], [key[0] for key in keys]
                ),
                unbroken=sum(costs[key].outcome != "found" for key in keys),
            )
        )
    return found


def _costs(attempts: Sequence[Attempt]) -> dict[tuple[str, int], dict[tuple[str, int], Attempt]]:
    """By attack and budget, then by prompt and seed; of an attack with several hyper-parameters the last ones."""
    found: dict[tuple[str, int], dict[tuple[str, int], Attempt]] = {}
    for one in attempts:
        if one.outcome != "error":
            found.setdefault((one.attack, one.budget), {})[one.prompt_ids[0], one.seed] = one
    return found


def _cost(attempt: Attempt) -> float:
    return float(attempt.budget if attempt.queries_to_find is None else min(attempt.queries_to_find, attempt.budget))


def _is_adaptive(attack: str) -> bool:
    kind = known_attacks().get(attack)
    return kind is not None and kind.adaptive


def _flops_ratio(attack: Sequence[Attempt], control: Sequence[Attempt]) -> float | None:
    """FLOPs a query of ``attack`` over those of ``control``; None where either has paid for none."""
    own, of_control = _flops_per_query(attack), _flops_per_query(control)
    return own / of_control if own and of_control else None


def _flops_per_query(attempts: Sequence[Attempt]) -> float:
    queries = sum(one.queries for one in attempts)
    return sum(one.flops for one in attempts) / queries if queries else 0.0


def transfer_cells(
    rm: RewardModel, criteria: Criteria, rm_round: int, findings: Sequence[Finding]
) -> list[TransferCell]:
    """Findings scored again, from text, by the RM of ``rm_round``: the share that still wins, by round and split."""
    cells = []
    for finding_round in sorted({finding.round for finding in findings}):
        for split in ("train", "held_out"):
            old = [f for f in findings if f.round == finding_round and f.split == split]
            if not old:
                continue
            wins = Confirmation(rm=rm, criteria=criteria).win_again(old)
            cells.append(
                TransferCell(
                    finding_round=finding_round,
                    rm_round=rm_round,
                    split=split,
                    still_winning=rate(wins, groups=[finding.prompt_id for finding in old]),
                )
            )
    return cells
