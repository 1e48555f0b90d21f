"""Two studies side by side at the same KL budgets: policies optimised against a reward model and against another, the
same RM patched, or an ensemble. Does gaming start later, and is the best step worth more?

Runs are paired by KL weight and seed: the same policy, prompts and random numbers, another RM. Proxies are not
compared, for two RMs share no scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from miner.errors import ConfigError
from miner.overopt.curves import Curves
from miner.overopt.labels import Labels
from miner.overopt.log import RunInfo, RunLog, read_samples
from miner.overopt.onset import gold_onset
from miner.statistics import Difference, Rate, paired_difference, rate

Floats = npt.NDArray[np.float64]

BUDGETS = (1.0, 3.0, 10.0, 30.0, 100.0)  # nats from the reference policy
SHARED = ("policy", "gold", "data")  # of ``RunInfo.models``: what must be one for gold to mean the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One run of a pair. ``onset`` is the step of ``gold_onset`` and ``onset_kl`` the nats it lies at, None where the
    policy never games; ``best_gold`` that of its best step, chosen on one half of the prompts and read off the other;
    ``at_budget`` gold where the run first passes each of ``BUDGETS``, None where it never goes so far."""

    games: bool | None
    onset: float | None
    onset_kl: float | None
    best_gold: float
    last_gold: float
    last_kl: float
    last_nonsense: float | None
    at_budget: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """A run before and after. ``later``: gaming starts at a later step after, or no more; None where neither games or
    it cannot be told."""

    run: str
    before: Side
    after: Side

    @property
    def later(self) -> bool | None:
        return _later(self.before.onset, self.after.onset, self._told)

    @property
    def further(self) -> bool | None:
        """As ``later``, in nats from the reference policy."""
        return _later(self.before.onset_kl, self.after.onset_kl, self._told)

    @property
    def _told(self) -> bool:
        return self.before.games is not None and self.after.games is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Over all pairs: shares with their intervals, differences after less before (None with a single pair)."""

    before: str
    after: str
    pairs: tuple[Pairing, ...]
    games: tuple[Rate, Rate] | None
    later: Rate | None
    further: Rate | None
    best_gold: Difference | None
    last_gold: Difference | None
    budgets: tuple[tuple[float, Difference], ...]  # those that at least two pairs reach on both sides


def first_round(folder: Path) -> Path | None:
    """The study against the RM as given, for the folder of one against a patched RM; None where there is none."""
    name, _, round_number = folder.name.rpartition("-round")
    if not name or not round_number.isdecimal():
        return None
    place = folder.with_name(name)
    return place if any(place.glob("*/run.json")) else None


def compare_studies(before: Path, after: Path, labels: Labels | None = None) -> Comparison:
    """Every run that both folders hold under one name, from stored rows alone; with ``labels`` these are the gold.

    Raises:
        ConfigError: they share no run, had another policy, gold or data, or no gold.
        DataError: a run cannot be read.
    """
    runs = [_runs(folder) for folder in (before, after)]
    names = sorted(runs[0].keys() & runs[1].keys())
    if not names:
        raise ConfigError(
            f"{before} and {after} share no run: {', '.join(sorted(runs[0])) or 'none'} against "
            f"{', '.join(sorted(runs[1])) or 'none'}. Make the second with the same --kl, --seeds and seed"
        )
    pairs = []
    for name in names:
        _require_alike(name, runs[0][name], runs[1][name])
        pairs.append(Pairing(run=name, before=_side(before / name, labels), after=_side(after / name, labels)))
    told = [pair for pair in pairs if pair.later is not None]
    known = [(pair.before.games, pair.after.games) for pair in pairs]
    return Comparison(
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


def _require_alike(name: str, before: RunInfo, after: RunInfo) -> None:
    for key in SHARED:
        if before.models.get(key) != after.models.get(key):
            raise ConfigError(
                f"{name}: the two studies differ in {key}, so that their gold cannot be compared. Make both with the "
                f"same {key}"
            )


def _side(folder: Path, labels: Labels | None) -> Side:
    rows = read_samples(folder)
    run = Curves(labels.as_gold(rows) if labels else rows)
    told, curves = gold_onset(run), run.whole("gold")
    if not curves.rows:
        raise ConfigError(f"no prompt of {folder.name} has gold at every step: nothing to compare. Give --gold")
    gold, kl, nonsense = (curves.mean(name) for name in ("gold", "kl", "nonsense"))
    onset = told.onset.bend.step if told.onset else None
    return Side(
        games=told.games,
        onset=onset,
        onset_kl=None if onset is None else float(np.interp(onset, curves.steps, kl)),
        best_gold=_best(curves.by_prompt("gold")),
        last_gold=float(gold[-1]),
        last_kl=float(kl[-1]),
        last_nonsense=float(nonsense[-1]) if np.isfinite(nonsense[-1]) else None,
        at_budget=tuple(_at(budget, kl, gold) for budget in BUDGETS),
    )


def _best(gold: Floats) -> float:
    """Gold at the best step: each half of the prompts is read at the step the other half chose, since the best of many
    noisy steps looks better than it is."""
    halves = gold[0::2], gold[1::2]
    smooth = [np.convolve(np.pad(half.mean(0), 1, mode="edge"), np.ones(3) / 3, mode="valid") for half in halves]
    return float(np.mean([halves[1][:, smooth[0].argmax()].mean(), halves[0][:, smooth[1].argmax()].mean()]))


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


def _later(before: float | None, after: float | None, told: bool) -> bool | None:
    if not told or (before is None and after is None):
        return None
    if before is None or after is None:
        return after is None
    return after > before


def _budgets(pairs: list[Pairing]) -> tuple[tuple[float, Difference], ...]:
    found = []
    for number, budget in enumerate(BUDGETS):
        both = [(pair.before.at_budget[number], pair.after.at_budget[number]) for pair in pairs]
        difference = _difference([(a, b) for a, b in both if a is not None and b is not None])
        if difference is not None:
            found.append((budget, difference))
    return tuple(found)


def _difference(values: list[tuple[float, float]]) -> Difference | None:
    """After less before."""
    finite = [(a, b) for a, b in values if np.isfinite(a) and np.isfinite(b)]
    return paired_difference([b for _, b in finite], [a for a, _ in finite], None) if len(finite) > 1 else None
