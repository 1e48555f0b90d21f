"""The checks' own error rates, on text that set no threshold."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from miner.judging.checks.base import Subject
from miner.judging.checks.verdict import Certificate, Certifier
from miner.progress import Advance, untold
from miner.statistics import Rate, rate

VERDICT = "verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRates:
    """How often a check, or the whole verdict, says nonsense: on clean text, and per kind of planted nonsense.

    An abstention counts as not saying so; ``evidence`` is the share of clean texts without one.
    """

    false_alarm: Rate
    hit_rate: dict[str, Rate]
    evidence: Rate


def measure(
    certifier: Certifier,
    clean: Sequence[Subject],
    plants: Mapping[str, Sequence[Subject]],
    *,
    groups: Sequence[Hashable] | None = None,
    progress: Advance = untold,
) -> dict[str, ErrorRates]:
    """Error rates by check, and under ``"verdict"`` of all together. ``groups``: one per clean subject, for intervals.

    Give clean text other than the calibration's: on that the false alarms are the target by design.
    """
    on_clean = certifier.certify(clean)
    progress(1, 1 + len(plants))
    on_plants: dict[str, list[Certificate]] = {}
    for kind, subjects in plants.items():
        on_plants[kind] = certifier.certify(subjects)
        progress(1 + len(on_plants), 1 + len(plants))
    names = [*(calibrated.check.name for calibrated in certifier.checks), VERDICT]
    return {
        name: ErrorRates(
            false_alarm=rate([answer == "nonsense" for answer in _answers(on_clean, name)], groups=groups),
            hit_rate={
                kind: rate([answer == "nonsense" for answer in _answers(certificates, name)])
                for kind, certificates in on_plants.items()
            },
            evidence=rate([answer != "abstain" for answer in _answers(on_clean, name)], groups=groups),
        )
        for name in names
    }


def _answers(certificates: Sequence[Certificate], name: str) -> list[str]:
    if name == VERDICT:
        return [certificate.verdict for certificate in certificates]
    return [verdict.verdict for c in certificates for verdict in c.verdicts if verdict.check == name]
