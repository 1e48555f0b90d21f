"""What a triage takes at most, before any model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from miner.campaigns.run_folder import RunFolder
from miner.measuring.triage.settings import TriageSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Findings to triage, and queries at most by what they are spent on."""

    findings: int
    queries_at_most: Mapping[str, int]


def forecast(run: RunFolder, settings: TriageSettings) -> Forecast:
    """That of the findings in a run's folder."""
    findings = settings.choose(run.corpus.settled_findings())
    at_most = settings.max_queries_of(findings, len(run.rounds_present()))
    return Forecast(findings=len(findings), queries_at_most=at_most)
