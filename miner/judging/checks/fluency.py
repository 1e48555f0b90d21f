"""How unlikely the text is, token by token, to a reference LM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from corpus.records import digest
from miner.judging.checks.base import Aspect, Check, Floats, Materials, Subject
from miner.judging.checks.words import units_of
from miner.language_models import ReferenceLm


@dataclass(frozen=True, kw_only=True)
class Fluency(Check):
    """Mean negative log-likelihood per token under ``reference_lm``, in nats.

    Abstains on what that very LM wrote, which it finds likely whatever it says, and on fewer than ``min_words`` words,
    where one rare name decides the mean.
    """

    name: ClassVar[str] = "fluency"
    speaks_of: ClassVar[Aspect | None] = "fluency"

    reference_lm: ReferenceLm
    min_words: int = 8

    @classmethod
    def of(cls, materials: Materials) -> Fluency | None:
        return cls(reference_lm=materials.reference_lm) if materials.reference_lm else None

    @property
    def reads(self) -> str:
        return f"texts of at least {self.min_words} words"

    @property
    def identity(self) -> str:
        return digest([self.name, self.reference_lm.fingerprint, self.reference_lm.dtype, self.min_words])

    def values(self, subjects: Sequence[Subject]) -> Floats:
        nlls = self.reference_lm.token_nll([subject.response for subject in subjects])
        told = zip(subjects, nlls, strict=True)
        return np.array(
            [float(nll.mean()) if self._has_evidence(subject) else float("nan") for subject, nll in told],
            dtype=np.float64,
        )

    def _has_evidence(self, subject: Subject) -> bool:
        is_own = subject.sampled_by == self.reference_lm.fingerprint
        return not is_own and len(units_of(subject.response)) >= self.min_words
