"""Which findings a patch may see."""

from __future__ import annotations

from collections.abc import Sequence

from corpus.records import Finding
from miner.config.campaign import PatchSection
from miner.judging.reviews import PeoplesVerdicts


def training_findings(
    findings: Sequence[Finding], section: PatchSection, people: PeoplesVerdicts | None = None
) -> list[Finding]:
    """The findings a patch may see: nonsense on train prompts, of no held-out family or form, each text once; of those
    that ``people`` judged what ``section.reviewed`` says."""
    if people and section.reviewed == "not_overruled":
        findings = people.without_overruled(findings)
    elif section.reviewed == "confirmed":
        findings = people.confirmed_of(findings) if people else []
    allowed = {
        (finding.prompt_id, finding.response): finding
        for finding in findings
        if finding.split == "train"
        and finding.kind == "nonsense"
        and finding.family not in section.held_out_families
        and finding.form not in section.held_out_forms
    }
    return list(allowed.values())
