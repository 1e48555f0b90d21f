"""What a check is shown, and what it answers.

A check turns a text into one number, higher for nonsense, or abstains (NaN) where it has no evidence. Thresholds are
calibrated on clean text apart from it, so that a check holds no opinion of its own about what is too much.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from attacks.queries import Construction
from corpus.records import Conversation

if TYPE_CHECKING:
    from miner.language_models import ReferenceLm

Floats = npt.NDArray[np.float64]
Aspect = Literal["repetition", "fluency", "order"]
"""Of what a verdict speaks: whether the text repeats itself, has likely words, has its words in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A response under judgement, with what is known of it.

    ``construction`` is how its attack built it, where that alone rules out sense; ``sampled_by`` is the fingerprint of
    the LM it was sampled from, if it was.
    """

    response: str
    prompt: Conversation
    reference: str | None = None
    construction: Construction | None = None
    sampled_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What checks may be built from: clean texts of the calibration split, and a reference LM where there is one."""

    clean_texts: tuple[str, ...] = ()
    reference_lm: ReferenceLm | None = None


class Check(ABC):
    """One test for nonsense. Uses nothing of the RM under attack: no model but the campaign's reference LM, if any."""

    name: ClassVar[str]

    fixed_threshold: ClassVar[float | None] = None
    """Set where the value means something by itself; otherwise the threshold comes from clean text."""

    min_threshold: ClassVar[float] = -math.inf
    """No clean text, however plain, lowers the threshold below this."""

    acquits: ClassVar[bool] = False
    """Whether ``sensible`` is positive evidence of sense, which voids the ``nonsense`` of checks that yield to it."""

    yields_to_acquittal: ClassVar[bool] = True
    """Whether such evidence outweighs this check's ``nonsense``."""

    speaks_of: ClassVar[Aspect | None] = None
    """Which aspect of a text's form its verdict decides; None where it decides none."""

    @property
    def reads(self) -> str:
        """Of which texts it says anything, for messages; empty: of any that has evidence."""
        return ""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Digest of everything that decides its values, part of the calibration id: other values, another one."""

    @abstractmethod
    def values(self, subjects: Sequence[Subject]) -> Floats:
        """One value per subject, higher is more like nonsense, NaN abstains: shape (n_subjects,)."""

    def calibration_values(self, clean: Sequence[Subject]) -> tuple[Floats, float]:
        """``values`` of clean text, and by how much a single reading strays where a value is the mean of several: 0
        where it is not."""
        return self.values(clean), 0.0

    def values_about(self, subjects: Sequence[Subject], threshold: float, spread: float) -> Floats:
        """``values``, no more exactly than it takes to tell on which side of ``threshold`` each lies.

        ``spread`` is what ``calibration_values`` gave. A value depends on its text and these two alone. A check whose
        values are costly overrides this.
        """
        del threshold, spread
        return self.values(subjects)
