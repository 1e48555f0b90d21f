"""What the processes of a stage have to have in common, and what it reads: fixed by the first that gets there.

Only one process can create ``stages/<name>``; the others go by what it says. So one that was made with something else
is refused before it stores a row, and what is published later changes nobody's numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from corpus import Corpus
from miner.campaigns.run_folder import RunFolder
from miner.errors import ResumeError
from miner.searching.attempts import Plan
from miner.searching.version import code_version

READ = ("attempts", "findings", "reviews")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCode:
    """The code that makes a stage's attempts with one attack."""

    code_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInput:
    """The segments that a stage reads, by table."""

    segments: dict[str, tuple[str, ...]]


def require_same_code(run: RunFolder, plans: Sequence[Plan]) -> None:
    """Refuse to make a stage's attempts with other code than the process that began it.

    Raises:
        ResumeError: so it is; it names the attack.
    """
    for plan in {(plan.round, plan.split, plan.attack.name): plan for plan in plans}.values():
        name = f"code-{plan.round}-{plan.split}-{plan.attack.name}"
        mine = StageCode(code_version=code_version(plan.attack))
        first = run.stage(name, StageCode, partial(StageCode, code_version=mine.code_version))
        if first != mine:
            raise ResumeError(
                f"attack {plan.attack.name!r} has another code version here ({mine.code_version}) than where this "
                f"stage of {run.shown} was begun ({first.code_version}). Give all processes one version of rmminer, or "
                f"a new --out folder; once no other works on it, delete stages/{name} to go on with this one"
            )


def frozen_input(run: RunFolder, name: str) -> Corpus:
    """The run's corpus as the first process to begin the stage ``name`` saw it."""
    kept = run.stage(name, StageInput, lambda: StageInput(segments=run.corpus.segments(*READ)))
    return Corpus(run.corpus.path, only=kept.segments)


def evaluated_view(run: RunFolder, round_number: int) -> Corpus | None:
    """The run's corpus as it was when the newest evaluation of the round ended; None where none has."""
    views = _evaluations(run, round_number)
    return Corpus(run.corpus.path, only=views[-1].segments) if views else None


def freeze_evaluation(run: RunFolder, round_number: int, attempt_ids: Collection[str]) -> None:
    """Fixes what the round's evaluation reads, unless that is fixed already and holds these attempts."""
    while True:
        view = evaluated_view(run, round_number)
        if view is not None and view.attempt_ids().issuperset(attempt_ids):
            return
        frozen_input(run, _evaluation(round_number, len(_evaluations(run, round_number)) + 1))


def _evaluations(run: RunFolder, round_number: int) -> list[StageInput]:
    found: list[StageInput] = []
    while (kept := run.kept_stage(_evaluation(round_number, len(found) + 1), StageInput)) is not None:
        found.append(kept)
    return found


def _evaluation(round_number: int, number: int) -> str:
    return f"evaluate-{round_number}-{number}"
