"""When a policy starts to game its reward model, told by gold alone.

A run *games* where gold has fallen: its last measurements lie below its best ones, beyond chance and cross-fitted. The
onset is the bend of that fall. The proxy has no part in it, so that whatever is told from the proxy can be held against
it. Gold that never rose above what one and the same answer to every prompt earns can lose nothing, and no onset is
spoken of.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from miner.measuring.overopt.changepoint import MIN_PROMPTS, bend_interval
from miner.measuring.overopt.curves import Curves, smoothed
from miner.measuring.overopt.results import Fall, GoldOnset
from miner.statistics import Mean, cluster_bootstrap, mean

Floats = npt.NDArray[np.float64]

WINDOW = 3  # measurements averaged where gold's best and its end are compared
RESAMPLES = 400
SATURATED = 0.8  # of gold's loss, after which the fall levels off; with more, early bends come out too early


def gold_onset(curves: Curves, *, floor: float | None = None, seed: int = 0) -> GoldOnset:
    """The onset of one run, told with gold on the prompts that have it at every step.

    Abstains where those are too few, where gold is constant, where it was measured too seldom, and where its best is
    not above ``floor``, what a constant answer earns, beyond chance; None is without.
    """
    whole = curves.whole("gold")
    n_prompts, left_out = len(whole.prompts), len(curves.prompts) - len(whole.prompts)
    if reason := _why_not(whole, left_out):
        return GoldOnset(games=None, onset=None, fall=None, reason=reason, n_prompts=n_prompts, left_out=left_out)
    gold = whole.by_prompt("gold")
    if floor is not None and not (best := _best(gold, seed)).low > floor:
        reason = (
            f"gold at its best, {best.value:.3f} [{best.low:.3f}–{best.high:.3f}], is not above the {floor:.3f} that "
            "one and the same answer to every prompt earns: there is nothing to lose"
        )
        return GoldOnset(games=None, onset=None, fall=None, reason=reason, n_prompts=n_prompts, left_out=left_out)
    fall = _fall(whole.steps, gold, seed)
    games, onset, reason = fall.low > 0, None, ""
    if games:
        falling = _fallen(gold.mean(0))
        onset = bend_interval(whole.steps[:falling], -gold[:, :falling], seed=seed)
        if onset is None:
            reason = (
                f"games from the first few steps on: {falling} measurements until gold has fallen place no bend. "
                "Measure more often: overopt.eval_every"
            )
    return GoldOnset(games=games, onset=onset, fall=fall, reason=reason, n_prompts=n_prompts, left_out=left_out)


def _fallen(gold: Floats) -> int:
    """How many measurements until gold has lost ``SATURATED`` of all it loses from its best."""
    smooth = smoothed(gold)
    peak = int(smooth.argmax())
    lost = smooth[peak] - smooth[peak:]
    return peak + int(np.argmax(lost >= SATURATED * lost.max())) + 1


def _why_not(whole: Curves, left_out: int) -> str:
    n_prompts = len(whole.prompts)
    if not n_prompts:
        return "gold abstained on some answers of every prompt, or none was given"
    if len(whole.steps) < 2 * WINDOW:
        return f"{len(whole.steps)} measured steps are too few to see gold rise and fall; {2 * WINDOW} are needed"
    if n_prompts < MIN_PROMPTS and left_out:
        return (
            f"only {n_prompts} of {n_prompts + left_out} prompts have gold at every measured step; "
            f"{MIN_PROMPTS} are needed"
        )
    if n_prompts < MIN_PROMPTS:
        return f"{n_prompts} prompts are too few for an interval; {MIN_PROMPTS} are needed"
    if not whole.spread("gold") > 0:
        return "gold is constant over the prompts: it cannot tell answers apart"
    return ""


def _windows(gold: Floats) -> Floats:
    """Means over ``WINDOW`` measurements in a row: (n_prompts, n_windows)."""
    return np.stack([gold[:, at : at + WINDOW].mean(1) for at in range(gold.shape[1] - WINDOW + 1)], 1)


def _at_best(windows: Floats) -> Floats:
    """Each prompt's value at the window that is best on the other half of the prompts: (n_prompts,)."""
    found = np.empty(len(windows))
    for half, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        found[half] = windows[half, int(windows[other].mean(0).argmax())]
    return found


def _best(gold: Floats, seed: int) -> Mean:
    """Gold at its best, cross-fitted, with its interval over prompts."""
    return mean(_at_best(_windows(gold)), seed=seed)


def _fall(steps: Floats, gold: Floats, seed: int) -> Fall:
    """Each half of the prompts is read at the best window that the other half chose: the best of many noisy windows
    lies above the last even where nothing has fallen, the more so the longer the run."""
    windows = _windows(gold)
    before, falls = windows[:, :-1], _at_best(windows[:, :-1]) - windows[:, -1]
    low, high = cluster_bootstrap(lambda drawn: drawn @ falls / len(gold), len(gold), seed=seed, resamples=RESAMPLES)
    peak = int(before.mean(0).argmax())
    return Fall(
        value=float(falls.mean()),
        low=float(low),
        high=float(high),
        peak_step=float(steps[peak : peak + WINDOW].mean()),
    )
