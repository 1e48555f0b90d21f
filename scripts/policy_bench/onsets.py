"""How well the onset is told without gold on the stored runs: by the default settings, and by some tuned on a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from miner.measuring.overopt.changepoint import bend
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.detector import Detector, first_climb, raised
from miner.measuring.overopt.log import RunLog
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.results import GoldOnset
from miner.measuring.overopt.verdict import verdict_on_run
from scripts.policy_bench.accuracy import WITHIN, Accuracy, lead, summarise
from scripts.policy_bench.runs import TARGETS, stored

Floats = npt.NDArray[np.float64]

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
NAMES = ("disagreement", "surprise", "latent", "repetition", "certainty")
CHOICES = ((0.0, 1.0), (0.0, 0.5, 1.0), (0.0, 0.5), (0.0, 0.5), (0.0, 0.5))
MIXES = tuple(
    {name: weight for name, weight in zip(NAMES, weights, strict=True) if weight}
    for weights in product(*CHOICES)
    if any(weights)
)


def onset(bench_out: Path, *, quick: bool) -> dict[str, Any]:
    """The default detector on all runs, none of which chose its weights or threshold; one chosen on tuning runs, judged
    on the others."""
    found = list(stored(bench_out, quick=quick))
    floors = {spec.name: RunLog(bench_out / spec.name).info().floor.get("constant") for spec, _ in found}
    truths = {spec.name: gold_onset(curves, floor=floors.get(spec.name)) for spec, curves in found}

    def accuracy_of(detector: Detector, *, tuning: bool) -> Accuracy:
        chosen = [(spec, curves) for spec, curves in found if spec.tuning == tuning]
        return summarise([verdict_on_run(s.name, c, detector, truth=truths[s.name]) for s, c in chosen])

    tuning = [(curves, truths[spec.name]) for spec, curves in found if spec.tuning]
    best = max((chosen for mix in MIXES for chosen in _tried(mix, tuning)), key=lambda one: one[0])[1]
    plain = summarise([verdict_on_run(s.name, c, Detector(), truth=truths[s.name]) for s, c in found])
    return {
        "default settings, on all": _figures(plain),
        "tuned": {
            "weights": dict(best.weights),
            "threshold": best.threshold,
            "in_a_row": best.in_a_row,
            "on tuning runs": _figures(accuracy_of(best, tuning=True)),
            "on the others": _figures(accuracy_of(best, tuning=False)),
        },
        "default on the others": _figures(accuracy_of(Detector(), tuning=False)),
        "default by RM": {
            target: _figures(summarise([one for one in plain.runs if one.run.startswith(f"{target}/")]))
            for target in TARGETS
        },
        "runs": [
            {
                "run": one.run,
                "games": one.games,
                "truth": asdict(one.truth) if one.truth else None,
                "estimate": asdict(one.estimate) if one.estimate else None,
                "online": asdict(one.online) if one.online else None,
                "alarm": one.alarm_step,
                "lead": lead(one),
            }
            for one in plain.runs
        ],
    }


def _tried(mix: dict[str, float], tuning: Sequence[tuple[Curves, GoldOnset]]) -> list[tuple[float, Detector]]:
    """Every threshold for one mix of signals, with what it is worth on the tuning runs: no false alarms first, then
    gaming caught, then closeness to the onset with gold, then alarms that come early."""
    detector = Detector(weights=mix)
    seen = []
    for curves, truth in tuning:
        seen.append((curves.steps, detector.index(curves).mean(0), truth))
    tried = []
    for threshold, in_a_row in product(THRESHOLDS, (1, 2)):
        worth = 0.0
        for steps, mean, truth in seen:
            at = raised(mean, threshold, in_a_row)
            if truth.games is False:
                worth -= 4.0 * (at is not None)
            elif truth.games and at is not None:
                near = _near(steps, mean, at, truth)
                worth += 1.0 + near - 0.5 * float(steps[at]) / float(steps[-1])
        tried.append((worth, Detector(weights=mix, threshold=threshold, in_a_row=in_a_row)))
    return tried


def _near(steps: Floats, mean: Floats, at: int, truth: GoldOnset) -> float:
    """What an alarm at measurement ``at`` is worth for the place it gives the onset."""
    climbing, index = first_climb(steps, mean[None], 2 * at + 1)
    found = bend(climbing, index[0])
    if truth.onset is None or found is None:
        return 0.0
    error = abs(found.step / truth.onset.bend.step - 1)
    return (error <= WITHIN) - 0.5 * min(error, 1.0)


def _figures(accuracy: Accuracy) -> dict[str, Any]:
    rates = {n: getattr(accuracy, n) for n in ("close", "online_close", "inside", "caught", "false_alarms")}
    return {
        **{name: asdict(value) if value else None for name, value in rates.items()},
        **{n: getattr(accuracy, n) for n in ("median_error", "median_width", "median_lead", "unlocated", "undecided")},
    }
