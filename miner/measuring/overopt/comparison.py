"""Two studies side by side at the same KL budgets: policies optimised against a reward model and against another, the
same RM patched, or an ensemble. Does gaming start later, and is the best step worth more?

Runs are paired by KL weight and seed: the same policy, prompts and random numbers, another RM. A pair of which one run
ended early is compared up to there. Proxies are not compared, for two RMs share no scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from miner.errors import ConfigError
from miner.judging.people_gold import PeoplesScores
from miner.measuring.overopt.curves import Curves, smoothed
from miner.measuring.overopt.log import RunLog, read_samples
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.people import with_peoples_gold
from miner.measuring.overopt.results import ComparedRun, Pairing, RunInfo, StudyComparison
from miner.statistics import Difference, rate, student_interval

Floats = npt.NDArray[np.float64]

BUDGETS = (1.0, 3.0, 10.0, 30.0, 100.0)  # nats from the reference policy
SHARED = ("policy", "gold", "data", "checks")  # of ``RunInfo.models``: what must be one for gold to mean the same
FREE = ("steps", "max_kl")  # of the settings: what may differ


def first_round(folder: Path) -> Path | None:
    """The study against the RM as given, for the folder of one against a patched RM; None where there is none."""
    name, _, round_number = folder.name.rpartition("-round")
    if not name or not round_number.isdecimal():
        return None
    place = folder.with_name(name)
    return place if any(place.glob("*/run.json")) else None


def compare_studies(before: Path, after: Path, people: PeoplesScores | None = None) -> StudyComparison:
    """Every run that both folders hold under one name, from stored rows alone; ``people``: their scores are the gold.

    Raises:
        ConfigError: they share no run, differ in more than the RM, or have no gold.
        DataError: a run cannot be read.
    """
    runs = [_runs(folder) for folder in (before, after)]
    names = sorted(runs[0].keys() & runs[1].keys())
    if not names:
        raise ConfigError(
            f"{before} and {after} share no run: {', '.join(sorted(runs[0])) or 'none'} against "
            f"{', '.join(sorted(runs[1])) or 'none'}. Make the second with the same --kl, --seeds and seed"
        )
    pairs = [_pair(name, before / name, after / name, runs[0][name], runs[1][name], people) for name in names]
    told = [pair for pair in pairs if pair.later is not None]
    known = [(pair.before.games, pair.after.games) for pair in pairs]
    return StudyComparison(
        before=_named(before, runs[0][names[0]]),
        after=_named(after, runs[1][names[0]]),
        pairs=tuple(pairs),
        games=None
        if any(None in both for both in known)
        else (rate([bool(one) for one, _ in known]), rate([bool(one) for _, one in known])),
        later=rate([bool(pair.later) for pair in told]) if told else None,
        further=rate([bool(pair.further) for pair in told]) if told else None,
        best_gold=_difference([(pair.before.best_gold, pair.after.best_gold) for pair in pairs]),
        last_gold=_difference([(pair.before.last_gold, pair.after.last_gold) for pair in pairs]),
        budgets=_budgets(pairs),
    )


def _runs(folder: Path) -> Mapping[str, RunInfo]:
    found = {path.parent.name: RunLog(path.parent).info() for path in folder.glob("*/run.json")}
    return {name: info for name, info in found.items() if info.status != "running"}


def _named(folder: Path, info: RunInfo) -> str:
    return f"{folder.name} ({info.target})" if info.target else folder.name


def _pair(
    name: str, before: Path, after: Path, first: RunInfo, second: RunInfo, people: PeoplesScores | None
) -> Pairing:
    sides = [_read(folder, people) for folder in (before, after)]
    shared = [key for key in SHARED if key != "gold" or people is None]
    differs = [key for key in shared if first.models.get(key) != second.models.get(key)]
    differs += [
        key for key, value in first.settings.items() if key not in FREE and value != second.settings.get(key, value)
    ]
    if sides[0].prompts != sides[1].prompts:
        differs.append("prompts")
    if differs:
        raise ConfigError(
            f"{name}: the two studies differ in {', '.join(differs)}, not only in the RM, and cannot be compared. Make "
            "both with the same settings and the same campaign seed"
        )
    last = int(min(side.steps[-1] for side in sides))
    floors = [None if people else info.floor.get("constant") for info in (first, second)]
    one, other = (
        _side(side.upto(int((side.steps <= last).sum())), floor) for side, floor in zip(sides, floors, strict=True)
    )
    return Pairing(run=name, before=one, after=other, last_step=last)


def _read(folder: Path, people: PeoplesScores | None) -> Curves:
    rows = read_samples(folder)
    curves = Curves(with_peoples_gold(rows, people) if people else rows)
    if not rows or not curves.whole("gold").rows:
        raise ConfigError(
            f"no prompt of {folder.parent.name}/{folder.name} has gold at every step: nothing to compare. "
            + ("Have answers of both scored: rmminer review" if people else "Give --gold")
        )
    return curves


def _side(run: Curves, floor: float | None) -> ComparedRun:
    told, curves = gold_onset(run, floor=floor), run.whole("gold")
    gold, kl, nonsense = (curves.mean(name) for name in ("gold", "kl", "nonsense"))
    onset = told.onset.bend.step if told.onset else None
    return ComparedRun(
        games=told.games,
        onset=onset,
        onset_kl=None if onset is None else float(np.interp(onset, curves.steps, kl)),
        best_gold=_best(curves.by_prompt("gold")),
        last_gold=float(gold[-1]),
        last_kl=_known(kl[-1]),
        last_nonsense=_known(nonsense[-1]),
        at_budget=tuple(_at(budget, kl, gold) for budget in BUDGETS),
    )


def _best(gold: Floats) -> float | None:
    """Gold at the best step: each half of the prompts is read at the step the other half chose, since the best of many
    noisy steps looks better than it is. None with a single prompt."""
    if len(gold) < 2:
        return None
    halves = gold[0::2], gold[1::2]
    smooth = [smoothed(half.mean(0)) for half in halves]
    return float(np.mean([halves[1][:, smooth[0].argmax()].mean(), halves[0][:, smooth[1].argmax()].mean()]))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _at(budget: float, kl: Floats, gold: Floats) -> float | None:
    """Gold where KL first passes ``budget``, between the measurements on either side."""
    passed = np.flatnonzero(kl >= budget)
    if not len(passed):
        return None
    at = int(passed[0])
    if at == 0:
        return float(gold[0])
    share = (budget - kl[at - 1]) / (kl[at] - kl[at - 1])
    return float(gold[at - 1] + share * (gold[at] - gold[at - 1]))


def _budgets(pairs: list[Pairing]) -> tuple[tuple[float, Difference], ...]:
    found = []
    for number, budget in enumerate(BUDGETS):
        both = [(pair.before.at_budget[number], pair.after.at_budget[number]) for pair in pairs]
        difference = _difference(both)
        if difference is not None:
            found.append((budget, difference))
    return tuple(found)


def _difference(values: list[tuple[float | None, float | None]]) -> Difference | None:
    """After less before. Student's interval: a bootstrap of three pairs spans little more than the three."""
    changes = np.array([b - a for a, b in values if a is not None and b is not None])
    if len(changes) < 2:
        return None
    low, high = (float(end[0]) for end in student_interval(changes[:, None]))
    return Difference(float(changes.mean()), len(changes), low, high)
