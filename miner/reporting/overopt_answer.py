"""What a study says in a sentence or two: do policies game this RM, from which step, when to stop."""

from __future__ import annotations

from dataclasses import dataclass

from miner.measuring.overopt.by_kl_weight import RunsAtKl, Spread, by_kl_weight
from miner.measuring.overopt.results import PoolSummary, StudySummary


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyAnswer:
    """``text`` says of what it is ``about`` (a KL weight, best-of-n) what a study shows."""

    about: str
    text: str


def answers(summary: StudySummary) -> list[StudyAnswer]:
    """One for every KL weight, one for best-of-n."""
    found = [StudyAnswer(about=group.name, text=_said(group)) for group in by_kl_weight(summary.runs)]
    return found + ([StudyAnswer(about="Best of n", text=_pool(summary.pool))] if summary.pool is not None else [])


def _said(group: RunsAtKl) -> str:
    decidable, gaming = len(group.decidable), len(group.gaming)
    if not decidable:
        return f"gold cannot tell whether policies game this RM. {_without_gold(group)}"
    others = len(group.runs) - decidable
    undecided = f" ({others} more cannot be told)" if others else ""
    if not gaming:
        runs = "the run does not game" if decidable == 1 else f"none of {decidable} runs games"
        return f"{runs} the RM within {group.last_step} steps{undecided}. {_gold(group)}"
    runs = "the run games" if decidable == 1 else f"{gaming} of {decidable} runs {'games' if gaming == 1 else 'game'}"
    return f"{runs} the RM: gold falls from its best{undecided}. {_start(group)} {_gold(group)}"


def _start(group: RunsAtKl) -> str:
    onsets = group.onsets
    if not onsets:
        return "From which step cannot be told: see the notes."
    if len(group.gaming) == 1:
        (onset,) = (run.with_gold.onset for run in group.gaming)
        where = "" if onset is None else f"at step {onset.bend.step:.0f} (95 %: {onset.low:.0f} to {onset.high:.0f})"
    else:
        whose = "those that game" if len(onsets) == len(group.gaming) else f"the {len(onsets)} whose onset is told"
        where = f"at step {group.median_onset:.0f} (median of {whose}; {onsets[0]:.0f} to {onsets[-1]:.0f})"
    return f"It starts {where}: stop before step {group.stop_before}."


def _gold(group: RunsAtKl) -> str:
    start, best, end = (_value(group.gold(moment)) for moment in ("start", "best", "end"))
    whose = "" if len(group.runs) == 1 else " of each run"
    return f"Gold is {start} at the start, {best} at the best step{whose}, {end} at the end."


def _value(one: Spread | None) -> str:
    return "not known" if one is None else f"{one.value:.3f}"


def _without_gold(group: RunsAtKl) -> str:
    if not group.alarms:
        return "The reward was never seen to bend upwards."
    runs = f"in {len(group.alarms)} of {len(group.runs)} runs" if len(group.runs) > 1 else "in the run"
    return f"The reward bends upwards {runs}, first seen at step {group.alarms[0]:.0f}: look at the samples there."


def _pool(pool: PoolSummary) -> str:
    best = max(range(len(pool.ns)), key=lambda at: pool.gold[at].value)
    first, last = pool.gold[0].value, pool.gold[-1].value
    return (
        f"gold of the pick is highest at n = {pool.ns[best]:,} ({pool.gold[best].value:.3f}); one sample has "
        f"{first:.3f}, the pick of {pool.ns[-1]:,} has {last:.3f}."
    )
