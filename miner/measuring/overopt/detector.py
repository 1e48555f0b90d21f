"""Detects without gold when a policy starts to game its RM.

Each signal is measured in standard deviations over prompts at the start. Their weighted sum is the *index*: it alarms
where measurements in a row pass the threshold, and the bend of its climb is the onset. Weights and threshold were
fixed before any run was stored; choosing them on a handful of tuning runs made the detector worse on the others
(``scripts/bench_policy``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from miner.errors import ConfigError
from miner.measuring.overopt.changepoint import bend_interval
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.onset import climb
from miner.measuring.overopt.results import BendInterval

Floats = npt.NDArray[np.float64]

SIGNALS = ("disagreement", "surprise", "latent", "certainty", "repetition", "nonsense")
MIN_SPREAD = {"repetition": 0.05, "nonsense": 0.1}  # where the start has next to none, a first one is no alarm
CAP = 8.0  # standard deviations: one signal out of all proportion must not decide alone
WEIGHTS: Mapping[str, float] = {"disagreement": 1.0, "surprise": 0.5, "latent": 0.5, "repetition": 0.5, "nonsense": 0.5}
THRESHOLD = 1.0
IN_A_ROW = 2
MIN_STEPS_SHARE = 0.5  # share of the steps at which an RM must have answered: the others are filled in


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """``step``: the measurement at which the alarm was raised, None where it never was. ``onset``: the bend of the
    index by up to twice the measurements until then, None without an alarm; ``online`` the same by the measurements
    until then."""

    step: float | None
    onset: BendInterval | None
    online: BendInterval | None
    index: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Signals that were not measured count nothing; the weights of the others are shared out anew."""

    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    threshold: float = THRESHOLD
    in_a_row: int = IN_A_ROW

    def alarm(self, curves: Curves, *, seed: int = 0) -> Alarm:
        """Whether and when this run games its RM.

        Raises:
            ConfigError: none of the signals was measured.
        """
        by_prompt = self.index(curves)
        mean = by_prompt.mean(0)
        at = raised(mean, self.threshold, self.in_a_row)
        if at is None:
            return Alarm(step=None, onset=None, online=None, index=tuple(mean.tolist()))
        return Alarm(
            step=float(curves.steps[at]),
            onset=bend_interval(*first_climb(curves.steps, by_prompt, 2 * at + 1), seed=seed),
            online=bend_interval(*first_climb(curves.steps, by_prompt, at + 1), seed=seed),
            index=tuple(mean.tolist()),
        )

    def index(self, curves: Curves) -> Floats:
        """(n_prompts, n_steps), zero on average at the first step. Raises: ConfigError: see ``alarm``."""
        found = {name: signal(curves, name) for name in self.weights}
        known = {name: values for name, values in found.items() if values is not None}
        total = sum(self.weights[name] for name in known)
        if not known or not total > 0:
            raise ConfigError(
                "nothing to tell gaming by: give a second RM (--second), a reference LM (--reference-lm), or gold"
            )
        shares = np.array([self.weights[name] / total for name in known])
        mixed: Floats = np.tensordot(shares, np.stack(list(known.values())), axes=1)
        return mixed


def signal(curves: Curves, name: str) -> Floats | None:
    """One signal by prompt and step, in standard deviations from its start, rising as the policy games; None where it
    was not measured, disagreement where one of the RMs is missing at most steps. A prompt whose answer gave none counts
    as the others' mean, a step without any as what lies between its neighbours."""
    if name == "disagreement":
        if min(curves.known(one).mean() for one in ("proxy", "second")) < MIN_STEPS_SHARE:
            return None
        parts = [_standardised(curves, one, 0.0) for one in ("proxy", "second")]
        return parts[0] - parts[1]
    source = "entropy" if name == "certainty" else name
    if not curves.known(source).any():
        return None
    standardised = _standardised(curves, source, MIN_SPREAD.get(name, 0.0))
    return -standardised if name == "certainty" else standardised


def raised(index: Floats, threshold: float, in_a_row: int) -> int | None:
    """The measurement at which the index has passed the threshold so many times in a row."""
    runs = np.convolve(index >= threshold, np.ones(in_a_row), mode="full")[: len(index)]
    found = np.flatnonzero(runs >= in_a_row)
    return int(found[0]) if len(found) else None


def _standardised(curves: Curves, measure: str, min_spread: float) -> Floats:
    values = curves.by_prompt(measure)
    known = curves.known(measure)
    mean = np.interp(curves.steps, curves.steps[known], curves.mean(measure)[known])
    filled = np.where(np.isnan(values), mean, values)
    unit = max(curves.spread(measure), min_spread) or 1.0
    standardised: Floats = np.clip((filled - filled[:, 0].mean()) / unit, -CAP, CAP)
    return standardised


def first_climb(steps: Floats, by_prompt: Floats, known: int) -> tuple[Floats, Floats]:
    """Steps and index of the climb in the first ``known`` measurements: long after the alarm the policy may find
    another flaw."""
    climbing = climb(by_prompt[:, :known].mean(0))
    return steps[:climbing], by_prompt[:, :climbing]
