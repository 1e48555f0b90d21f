"""What a diagnostic says: a colour, what was found, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Colour = Literal["green", "amber", "red"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """``value`` is the figure that the colour rests on, in the unit that ``found`` names; None where there is none."""

    examination: str
    colour: Colour
    found: str
    fix: str = ""
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All diagnoses of one model. ``texts`` says what it was examined on."""

    model: str
    rm_fingerprint: str | None
    texts: str
    seconds: float
    diagnoses: tuple[Diagnosis, ...]

    @property
    def counts(self) -> dict[Colour, int]:
        found = Counter(diagnosis.colour for diagnosis in self.diagnoses)
        return {"green": found["green"], "amber": found["amber"], "red": found["red"]}

    @property
    def is_red(self) -> bool:
        return self.counts["red"] > 0


def severity_above(value: float, *, amber: float, red: float) -> Colour:
    """The colour of a figure of which more is worse."""
    return "red" if value > red else "amber" if value > amber else "green"


def green(examination: str, found: str, value: float | None = None) -> Diagnosis:
    return Diagnosis(examination=examination, colour="green", found=found, value=value)


def of_severity(colour: Colour, examination: str, found: str, fix: str, value: float | None = None) -> Diagnosis:
    """A diagnosis whose fix is only told where there is something to mend."""
    return Diagnosis(
        examination=examination, colour=colour, found=found, fix="" if colour == "green" else fix, value=value
    )


def join_some(items: Sequence[str], at_most: int = 3) -> str:
    return ", ".join(items[:at_most]) + (f" and {len(items) - at_most} more" if len(items) > at_most else "")
