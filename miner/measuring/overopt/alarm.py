"""Where the reward's own climb bends upwards, as it is seen while a run goes on: all that is told without gold.

A sign and no proof: the reward of a policy that learns faster and honestly bends, too. A second RM, a reference LM,
repetition and certified nonsense, weighed together, noticed less and later (``scripts/bench_policy --only onset``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from miner.measuring.overopt.changepoint import bend
from miner.measuring.overopt.results import Alarm

Floats = npt.NDArray[np.float64]

THRESHOLD = 4.7  # of the bend's t: about one straight and noisy run in ten reaches it
LAST = 200  # measurements looked at: more would take long, and compare with what was learnt long ago


def bend_seen(steps: Floats, rewards: Floats) -> Alarm | None:
    """The bend by all that is known at the last of ``steps``; None where there is none."""
    found = bend(steps[-LAST:], rewards[-LAST:])
    return None if found is None else Alarm(step=float(steps[-1]), onset=found.step, t=found.t)


def first_alarm(steps: Floats, rewards: Floats, threshold: float = THRESHOLD) -> Alarm | None:
    """The first bend of at least ``threshold``, seen with what had been measured until then."""
    seen = (bend_seen(steps[:n], rewards[:n]) for n in range(1, len(steps) + 1))
    return next((one for one in seen if one is not None and one.t >= threshold), None)
