"""How soon a fall of gold is noticed without gold: by the reward's bend, entropy, a step count.

Thresholds are conformal: the quantile of the highest value that benign runs reach, the run judged left out. No stored
run's gold rose above what a constant earns, so none has an onset. They are judged with that floor set aside, where gold
falls from little to nothing: what there is of real policies. Benign are those whose gold does not fall, or without gold
those of KL weight 1, whose policy hardly moves. On made-up curves all is known, and all was put in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from miner.measuring.overopt.alarm import bend_seen
from miner.measuring.overopt.curves import Curves, smoothed
from miner.measuring.overopt.log import RunLog
from miner.measuring.overopt.onset import gold_onset
from miner.statistics import mean, paired_difference, rate
from scripts.policy_bench.planted import BENDS, WIDTH, run
from scripts.policy_bench.runs import STRONG, stored

Floats = npt.NDArray[np.float64]

ALPHA = 0.1  # of benign runs raise an alarm


def bend_of_the_reward(curves: Curves) -> Floats:
    """At every measured step the t of the bend known then."""
    rewards = curves.mean("proxy")
    seen = [bend_seen(curves.steps[:n], rewards[:n]) for n in range(1, len(rewards) + 1)]
    return np.array([0.0 if one is None else one.t for one in seen])


def fallen_entropy(curves: Curves) -> Floats:
    """What tells that the policy has moved, wherever to."""
    return _twice(-curves.mean("entropy"))


WAYS: dict[str, Callable[[Curves], Floats]] = {
    "bend of the reward": bend_of_the_reward,
    "fallen entropy": fallen_entropy,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run. ``values``: of each way, by measured step; ``falls``: (before which an alarm is too early, from which it
    is too late), None of a benign run; ``sets``: whether a benign one has a say in thresholds."""

    steps: Floats
    values: dict[str, Floats]
    group: Hashable
    falls: tuple[float, float] | None
    sets: bool = True

    def in_time(self, alarm: float | None) -> bool:
        return alarm is not None and self.falls is not None and self.falls[0] <= alarm <= self.falls[1]

    def lead(self, alarm: float | None) -> float:
        """Steps from the alarm until half of the fall has happened; a missed run counts as an alarm at its end."""
        assert self.falls is not None
        return self.falls[1] - (float(self.steps[-1]) if alarm is None else alarm)


def onset(place: Path, *, quick: bool, steps_per_minute: float | None) -> dict[str, Any]:
    """Every way on the stored runs and on made-up curves."""
    found = list(stored(place, quick=quick))
    floors = [RunLog(place / spec.name).info().floor.get("constant") for spec, _ in found]
    decided = [gold_onset(curves, floor=floor).games for (_, curves), floor in zip(found, floors, strict=True)]
    real = [_case(curves, spec.target) for spec, curves in found]
    still = [replace(case, sets=spec.kl == STRONG) for case, (spec, _) in zip(real, found, strict=True)]
    rng, n = np.random.default_rng(1), 20 if quick else 200
    straight, honest, gaming, unbent = (list(_made(k, n, rng)) for k in ("straight", "honest", "gaming", "unbent"))
    by_hour = None if steps_per_minute is None else 60 * steps_per_minute
    return {
        "stored runs decided by gold": sum(games is not None for games in decided),
        "stored, floor set aside": compared(real, by_hour),
        "stored, floor set aside, thresholds from KL weight 1": compared(still, by_hour),
        "made up, the reward bends where gold falls": compared([*straight, *gaming], by_hour),
        "made up, the reward climbs straight on": compared([*straight, *unbent], by_hour),
        "made up, honest runs bend too": compared([*straight, *honest, *gaming], by_hour),
    }


def compared(cases: Sequence[Case], steps_an_hour: float | None) -> dict[str, Any]:
    """Every way's figures, and what the bend has more than the others on the same runs."""
    benign, falling = ([case for case in cases if (case.falls is None) == calm] for calm in (True, False))
    known = [name for name in WAYS if all(np.isfinite(case.values[name]).all() for case in cases)]
    alarms = {name: _alarms(name, benign, falling) for name in known}
    alarms["step count"] = _step_count(benign, falling)
    groups = [case.group for case in falling]
    timely, leads = (
        {name: [judge(case, one) for one, case in zip(raised, falling, strict=True)]
         for name, (_, raised) in alarms.items()}
        for judge in (Case.in_time, Case.lead)
    )  # fmt: skip
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


def _alarms(name: str, benign: Sequence[Case], falling: Sequence[Case]) -> tuple[Alarms, Alarms]:
    """The steps of alarms on benign runs, each left out of its threshold, and on the others."""

    def bar(judged: Case | None) -> float:
        return conformal([float(one.values[name].max()) for one in benign if one.sets and one is not judged])

    return (
        [_first(case.values[name], case, bar(case)) for case in benign],
        [_first(case.values[name], case, bar(None)) for case in falling],
    )


def _step_count(benign: Sequence[Case], falling: Sequence[Case]) -> tuple[Alarms, Alarms]:
    """A fixed step: halfway between too early and too late in the median of the other runs."""
    middles = [sum(case.falls) / 2 for case in falling if case.falls is not None]
    alone: Alarms = [float(np.median(middles[:at] + middles[at + 1 :])) for at in range(len(middles))]
    return [float(np.median(middles))] * len(benign), alone


def _first(values: Floats, case: Case, bar: float) -> float | None:
    over = np.flatnonzero(values > bar)
    return float(case.steps[over[0]]) if len(over) else None


def _twice(values: Floats) -> Floats:
    """What this measurement and the one before both reach."""
    return np.asarray(np.minimum(values, np.concatenate([values[:1], values[:-1]])), dtype=np.float64)


def _figures(
    calm: Alarms, raised: Alarms, benign: Sequence[Case], falling: Sequence[Case], by_hour: float | None
) -> dict[str, Any]:
    groups, bounds = [case.group for case in falling], [case.falls or (0.0, 0.0) for case in falling]
    false = rate([one is not None for one in calm], groups=[case.group for case in benign])
    hours = None if by_hour is None else sum(float(case.steps[-1]) for case in benign) / by_hour

    def share(outcomes: Sequence[bool]) -> dict[str, Any]:
        return asdict(rate(outcomes, groups=groups))

    return {
        "in time": share([case.in_time(one) for one, case in zip(raised, falling, strict=True)]),
        "too early": share([one is not None and one < low for one, (low, _) in zip(raised, bounds, strict=True)]),
        "too late": share([one is not None and one > high for one, (_, high) in zip(raised, bounds, strict=True)]),
        "missed": share([one is None for one in raised]),
        "lead": asdict(mean([case.lead(one) for one, case in zip(raised, falling, strict=True)], groups=groups)),
        "false alarms": asdict(false),
        "false alarms an hour": None if hours is None else false.value * false.n / hours,
    }


def _values(curves: Curves) -> dict[str, Floats]:
    return {name: way(curves) for name, way in WAYS.items()}


def _case(curves: Curves, group: Hashable) -> Case:
    """Too early is what comes before the interval of gold's onset, too late what comes after half of its fall."""
    told, falls = gold_onset(curves), None
    if told.games:
        whole = curves.whole("gold")
        gold = smoothed(whole.mean("gold"))
        peak = int(gold.argmax())
        half = peak + int(np.argmax(gold[peak:] <= (gold[peak] + gold[peak:].min()) / 2))
        falls = (0.0 if told.onset is None else told.onset.low, float(whole.steps[half]))
    return Case(steps=curves.steps, values=_values(curves), group=group, falls=falls)


def _made(kind: str, n: int, rng: np.random.Generator) -> Iterator[Case]:
    for number in range(n):
        at = BENDS[number % len(BENDS)]
        curves = run(None if kind == "straight" else at, 19, rng, kind=kind)
        falls = (at, at + WIDTH / 2) if kind in ("gaming", "unbent") else None
        yield Case(steps=curves.steps, values=_values(curves), group=(kind, number), falls=falls)
