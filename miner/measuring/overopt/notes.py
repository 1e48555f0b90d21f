"""What has to be known beside a study's figures: what they leave out, what was filled in, which runs broke off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miner.measuring.overopt.results import RunSummary


def run_notes(runs: Sequence[RunSummary]) -> list[str]:
    """One sentence per caveat; runs with the same caveat share it."""
    notes = [f"{run.info.name}: {run.with_gold.reason}" for run in runs if run.with_gold.reason]
    for note_of in (_floor, _without_gold, _without_second):
        notes += _shared(runs, note_of)
    notes += [
        f"{run.info.name} stopped: {run.info.reason}; last good checkpoint: {run.info.last_good or 'none'}"
        for run in runs
        if run.info.status == "stopped"
    ]
    return notes


def _shared(runs: Sequence[RunSummary], note_of: Callable[[RunSummary], str]) -> list[str]:
    names: dict[str, list[str]] = {}
    for run in runs:
        if note := note_of(run):
            names.setdefault(note, []).append(run.info.name)
    return [f"{', '.join(named)}: {note}" for note, named in names.items()]


def _floor(run: RunSummary) -> str:
    """What gold gives to answers that answer nothing."""
    floor = run.info.floor
    if not floor:
        return ""
    return (
        f"gold of the other prompts' good answers is {floor['chance']:.3f}, of the best of a few given to every prompt "
        f"{floor['constant']:.3f}"
    )


def _without_gold(run: RunSummary) -> str:
    """The steps and the prompts without gold; empty where there are none, or no gold at all."""
    missing, found = sum(point.gold is None for point in run.points), run.with_gold
    said = []
    if 0 < missing < len(run.points):
        said.append(f"{missing} of {len(run.points)} steps are left out, at which most prompts have no gold")
    if found.left_out and found.games is not None:
        steps = "every other step" if said else "every step"
        said.append(
            f"gold is that of the {found.n_prompts} prompts that have it at {steps}; "
            f"{found.left_out} others are left out"
        )
    return "; ".join(said)


def _without_second(run: RunSummary) -> str:
    """Empty where the second RM has scored at every step, or at none."""
    missing, n_steps = sum(point.second is None for point in run.points), len(run.points)
    return f"the second RM gave no score at {missing} of {n_steps} steps" if 0 < missing < n_steps else ""
