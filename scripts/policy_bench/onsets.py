"""How soon a fall of gold is noticed without gold: by the detector, by the bend of the reward alone, by a step count.

Thresholds are conformal: the quantile of the highest value that benign runs reach, the run judged left out. No stored
run's gold rose above what a constant earns, so none has an onset. They are judged with that floor set aside, where gold
falls from little to nothing: what there is of real policies. On made-up curves all is known, and all was put in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from miner.measuring.overopt.alarm import bend_seen
from miner.measuring.overopt.curves import Curves, smoothed
from miner.measuring.overopt.detector import Detector
from miner.measuring.overopt.log import RunLog
from miner.measuring.overopt.onset import gold_onset
from miner.statistics import Mean, Rate, mean, paired_difference, rate
from scripts.policy_bench.planted import BENDS, WIDTH, run
from scripts.policy_bench.runs import stored

Floats = npt.NDArray[np.float64]

ALPHA = 0.1  # of benign runs raise an alarm


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run. ``falls``: (before which an alarm is too early, from which it is too late), None of a benign run."""

    curves: Curves
    group: Hashable
    falls: tuple[float, float] | None

    @property
    def last(self) -> float:
        return float(self.curves.steps[-1])


def bend_of_the_reward(curves: Curves) -> Floats:
    """At every measured step the t of the bend known then."""
    rewards = curves.mean("proxy")
    seen = [bend_seen(curves.steps[:n], rewards[:n]) for n in range(1, len(rewards) + 1)]
    return np.array([0.0 if one is None else one.t for one in seen])


def detector(curves: Curves) -> Floats:
    """At every measured step the lower of its index and the one before."""
    index = Detector().index(curves).mean(0)
    return np.minimum(index, np.roll(index, 1))


WAYS: dict[str, Callable[[Curves], Floats]] = {"bend of the reward": bend_of_the_reward, "detector": detector}


def onset(place: Path, *, quick: bool, steps_per_minute: float | None) -> dict[str, Any]:
    """Every way on the stored runs and on made-up curves."""
    found = list(stored(place, quick=quick))
    floors = [RunLog(place / spec.name).info().floor.get("constant") for spec, _ in found]
    decided = [gold_onset(curves, floor=floor).games for (_, curves), floor in zip(found, floors, strict=True)]
    real = [_case(curves, spec.target) for spec, curves in found]
    rng, n = np.random.default_rng(1), 20 if quick else 200
    made = {kind: list(_made(kind, n, rng)) for kind in ("straight", "honest", "gaming", "unbent")}
    by_hour = None if steps_per_minute is None else 60 * steps_per_minute
    return {
        "stored runs decided by gold": sum(games is not None for games in decided),
        "stored, floor set aside": compared(real, by_hour),
        "made up, the reward bends where gold falls": compared([*made["straight"], *made["gaming"]], by_hour),
        "made up, the reward climbs straight on": compared([*made["straight"], *made["unbent"]], by_hour),
        "made up, honest runs bend too": compared([*made["straight"], *made["honest"], *made["gaming"]], by_hour),
    }


def compared(cases: Sequence[Case], steps_an_hour: float | None) -> dict[str, Any]:
    """Every way's figures, and what the bend has more than the others on the same runs."""
    benign, falling = ([case for case in cases if (case.falls is None) == calm] for calm in (True, False))
    alarms = {name: _alarms(way, benign, falling) for name, way in WAYS.items()}
    alarms["step count"] = _step_count(benign, falling)
    groups = [case.group for case in falling]
    timely = {name: [_in_time(one, case) for one, case in zip(raised, falling, strict=True)]
              for name, (_, raised) in alarms.items()}  # fmt: skip
    leads = {name: [_lead(one, case) for one, case in zip(raised, falling, strict=True)]
             for name, (_, raised) in alarms.items()}  # fmt: skip
    first, *others = alarms
    return {
        "benign runs": len(benign),
        "falling runs": len(falling),
        **{name: _figures(*both, benign, falling, steps_an_hour) for name, both in alarms.items()},
        **{
            f"{first} less {name}": {
                "in time": asdict(paired_difference(timely[first], timely[name], groups)),
                "lead": asdict(paired_difference(leads[first], leads[name], groups)),
            }
            for name in others
        },
    }


def conformal(highest: Sequence[float], alpha: float = ALPHA) -> float:
    """What a benign run like these exceeds with probability ``alpha`` at most; infinite where these are too few."""
    rank = math.ceil((len(highest) + 1) * (1 - alpha))
    return sorted(highest)[rank - 1] if rank <= len(highest) else math.inf


Alarms = list[float | None]


def _alarms(way: Callable[[Curves], Floats], benign: Sequence[Case], falling: Sequence[Case]) -> tuple[Alarms, Alarms]:
    """The steps of alarms on benign runs, each left out of its threshold, and on the others."""
    calm = [way(case.curves) for case in benign]
    highest = [float(values.max()) for values in calm]
    alone = [conformal(highest[:at] + highest[at + 1 :]) for at in range(len(highest))]
    bar = conformal(highest)
    return (
        [_first(values, case, own) for values, case, own in zip(calm, benign, alone, strict=True)],
        [_first(way(case.curves), case, bar) for case in falling],
    )


def _step_count(benign: Sequence[Case], falling: Sequence[Case]) -> tuple[Alarms, Alarms]:
    """A fixed step: halfway between too early and too late in the median of the other runs."""
    middles = [sum(case.falls) / 2 for case in falling if case.falls is not None]
    alone: Alarms = [float(np.median(middles[:at] + middles[at + 1 :])) for at in range(len(middles))]
    return [float(np.median(middles))] * len(benign), alone


def _first(values: Floats, case: Case, bar: float) -> float | None:
    over = np.flatnonzero(values > bar)
    return float(case.curves.steps[over[0]]) if len(over) else None


def _in_time(alarm: float | None, case: Case) -> bool:
    return alarm is not None and case.falls is not None and case.falls[0] <= alarm <= case.falls[1]


def _lead(alarm: float | None, case: Case) -> float:
    """Steps from the alarm until half of the fall has happened; a missed run counts as an alarm at its end."""
    assert case.falls is not None
    return case.falls[1] - (case.last if alarm is None else alarm)


def _figures(
    calm: Alarms, raised: Alarms, benign: Sequence[Case], falling: Sequence[Case], by_hour: float | None
) -> dict[str, Any]:
    groups, bounds = [case.group for case in falling], [case.falls or (0.0, 0.0) for case in falling]
    false = rate([one is not None for one in calm], groups=[case.group for case in benign])
    hours = None if by_hour is None else sum(case.last for case in benign) / by_hour

    def share(outcomes: Sequence[bool]) -> dict[str, Any]:
        found: Rate = rate(outcomes, groups=groups)
        return asdict(found)

    lead: Mean = mean([_lead(one, case) for one, case in zip(raised, falling, strict=True)], groups=groups)
    return {
        "in time": share([_in_time(one, case) for one, case in zip(raised, falling, strict=True)]),
        "too early": share([one is not None and one < low for one, (low, _) in zip(raised, bounds, strict=True)]),
        "too late": share([one is not None and one > high for one, (_, high) in zip(raised, bounds, strict=True)]),
        "missed": share([one is None for one in raised]),
        "lead": asdict(lead),
        "false alarms": asdict(false),
        "false alarms an hour": None if hours is None else false.value * false.n / hours,
    }


def _case(curves: Curves, group: Hashable) -> Case:
    """Too early is what comes before the interval of gold's onset, too late what comes after half of its fall."""
    told = gold_onset(curves)
    if not told.games:
        return Case(curves=curves, group=group, falls=None)
    whole = curves.whole("gold")
    gold = smoothed(whole.mean("gold"))
    peak = int(gold.argmax())
    half = peak + int(np.argmax(gold[peak:] <= (gold[peak] + gold[peak:].min()) / 2))
    early = 0.0 if told.onset is None else told.onset.low
    return Case(curves=curves, group=group, falls=(early, float(whole.steps[half])))


def _made(kind: str, n: int, rng: np.random.Generator) -> Iterator[Case]:
    for number in range(n):
        at = BENDS[number % len(BENDS)]
        curves = run(None if kind == "straight" else at, 19, rng, kind=kind)
        falls = (at, at + WIDTH / 2) if kind in ("gaming", "unbent") else None
        yield Case(curves=curves, group=(kind, number), falls=falls)
