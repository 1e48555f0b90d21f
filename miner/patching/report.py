"""What went into a patch, as its round's folder keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corpus.records import Form


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchReport:
    """What went into a patch. ``families`` and ``forms`` are those of its nonsense: what it has *seen*.

    ``not_shown`` more findings could have been trained on, but found no place among its steps. ``procedural`` pairs had
    nonsense made by rule, ``online`` ones a text that was moved against the weights as they were.
    """

    clean_pairs: int
    findings: int
    not_shown: int = 0
    procedural: int = 0
    online: int = 0
    without_reference: int
    families: tuple[str, ...]
    forms: tuple[Form, ...]
    steps: int

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> PatchReport:
        """The report that ``patch.json`` holds."""
        return cls(**{**stored, "families": tuple(stored["families"]), "forms": tuple(stored["forms"])})
