"""A run's measured answers as curves: by prompt and step, for whoever analyses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from miner.errors import DataError
from miner.measuring.overopt.log import MEASURES
from miner.measuring.overopt.rows import SampleRow

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Curves:
    """Measures of one run. ``steps`` are the measured ones, ascending; every prompt was answered at each of them."""

    rows: Sequence[SampleRow]

    @cached_property
    def steps(self) -> Floats:
        return np.array(sorted({row.step for row in self.rows}), dtype=np.float64)

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        return tuple(sorted({row.prompt_id for row in self.rows}))

    @cached_property
    def _by_measure(self) -> dict[str, Floats]:
        """Means over a prompt's answers, (n_prompts, n_steps); NaN where none could be measured."""
        if not self.rows:
            raise DataError("the run has measured nothing yet")
        at_prompt = {prompt: at for at, prompt in enumerate(self.prompts)}
        at_step = {int(step): at for at, step in enumerate(self.steps)}
        place = np.array([at_prompt[r.prompt_id] * len(at_step) + at_step[r.step] for r in self.rows])
        shape, found = (len(at_prompt), len(at_step)), {}
        for name in MEASURES:
            values = np.array([getattr(row, name) for row in self.rows], dtype=np.float64)
            known = ~np.isnan(values)
            sums = np.bincount(place[known], weights=values[known], minlength=shape[0] * shape[1])
            counts = np.bincount(place[known], minlength=shape[0] * shape[1])
            with np.errstate(invalid="ignore"):
                found[name] = (sums / counts).reshape(shape)
        return found

    def by_prompt(self, measure: str) -> Floats:
        """(n_prompts, n_steps), NaN where it could not be measured."""
        return self._by_measure[measure]

    def mean(self, measure: str) -> Floats:
        """Over prompts, by step: NaN where no prompt has it."""
        values = self.by_prompt(measure)
        counts = (~np.isnan(values)).sum(0)
        with np.errstate(invalid="ignore"):
            means: Floats = np.nansum(values, 0) / np.where(counts > 0, counts, np.nan)
        return means

    def known(self, measure: str) -> Bools:
        """By step, whether any prompt has the measure."""
        return np.isfinite(self.mean(measure))

    def whole(self, *measures: str) -> Curves:
        """Of the prompts alone that have all the measures at every step; perhaps of none.

        Steps at which they failed are left out first, so that an outage costs a step and not every prompt: those at
        which fewer than half as many prompts have them as at the median step that has any.
        """
        have: Bools = np.logical_and.reduce([~np.isnan(self.by_prompt(measure)) for measure in measures])
        counts = have.sum(axis=0)
        usual = np.median(counts[counts > 0]) if have.any() else 0
        kept_steps = counts >= usual / 2
        kept_prompts = have[:, kept_steps].all(axis=1)
        if kept_steps.all() and kept_prompts.all():
            return self
        steps = {int(step) for step in self.steps[kept_steps]}
        prompts = {self.prompts[at] for at in np.flatnonzero(kept_prompts)}
        return Curves([row for row in self.rows if row.step in steps and row.prompt_id in prompts])

    def spread(self, measure: str) -> float:
        """The standard deviation over prompts at the first step that has the measure: the unit in which changes are
        told."""
        values = self.by_prompt(measure)[:, int(np.argmax(self.known(measure)))]
        values = values[~np.isnan(values)]
        return float(values.std()) if len(values) > 1 else 0.0

    def upto(self, n_steps: int) -> Curves:
        """As it was known after the first ``n_steps`` measurements."""
        kept = set(self.steps[:n_steps].astype(int).tolist())
        return Curves([row for row in self.rows if row.step in kept])


def smoothed(curve: Floats) -> Floats:
    """A running mean over three measurements; the ends are repeated."""
    smooth: Floats = np.convolve(np.pad(curve, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    return smooth
