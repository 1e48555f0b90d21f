"""Mean curves with 95 % bands: over the runs of one KL weight where there are enough, else over one run's prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from miner.statistics import student_interval

if TYPE_CHECKING:
    from miner.measuring.overopt.curves import Curves
    from miner.measuring.overopt.results import RunSummary, StepMeans

Floats = npt.NDArray[np.float64]

MIN_RUNS = 3  # runs for a band over runs
BANDED = ("proxy", "gold")  # of a ``StepMeans``


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A mean curve over ``x``, ascending; ``low`` and ``high`` are None for two runs, which are too few for a band."""

    x: Floats
    mean: Floats
    low: Floats | None
    high: Floats | None


def ends_at(run: Curves, gold: Curves, step: float) -> dict[str, float]:
    """The interval ends over prompts at one measured step, by the name of their field in ``StepMeans``;
    ``gold`` holds the prompts whose gold is told. NaN where there is none."""
    found: dict[str, float] = {}
    for name in BANDED:
        curves = gold if name == "gold" else run
        for end, value in zip(
            ("low", "high"), student_interval(curves.by_prompt(name)[:, curves.steps == step]), strict=True
        ):
            found[f"{name}_{end}"] = float(value[0]) if value.size else math.nan
    return found


def mean_curve(runs: Sequence[RunSummary], name: str, place: Callable[[StepMeans], float]) -> Band | None:
    """The mean of a measure over ``runs``, as far as all of them go; None where none has it.

    ``place`` says where a point lies on the x axis. A run that goes back there counts where it first came by. The band
    is over runs, for a single run over its prompts.
    """
    known = [[p for p in run.points if getattr(p, name) is not None] for run in runs]
    known = [points for points in known if points]
    if not known:
        return None
    places = [np.maximum.accumulate([place(point) for point in points]) for points in known]
    common = min(x[-1] for x in places)
    x = np.unique(np.concatenate(places))
    x = x[x <= common]
    curves = np.array([_read(points, name, at, x) for points, at in zip(known, places, strict=True)])
    low = high = None
    if len(known) >= MIN_RUNS:
        low, high = student_interval(curves)
    elif len(known) == 1 and getattr(known[0][0], f"{name}_low", None) is not None:
        low, high = (_read(known[0], f"{name}_{end}", places[0], x) for end in ("low", "high"))
    return Band(x=x, mean=curves.mean(0), low=low, high=high)


def _read(points: Sequence[StepMeans], name: str, places: Floats, x: Floats) -> Floats:
    first = np.unique(places, return_index=True)[1]
    values = np.array([getattr(points[at], name) for at in first], dtype=np.float64)
    read: Floats = np.interp(x, places[first], values)
    return read
