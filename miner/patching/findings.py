"""Which findings a patch may see."""

from __future__ import annotations

from collections.abc import Sequence

from corpus.records import Finding
from miner.config.campaign import PatchSection


def training_findings(findings: Sequence[Finding], section: PatchSection) -> list[Finding]:
    """The findings a patch may see: nonsense on train prompts, of no held-out family or form, each text once."""
    allowed = {
        (finding.prompt_id, finding.response): finding
        for finding in findings
        if finding.split == "train"
        and finding.kind == "nonsense"
        and finding.family not in section.held_out_families
        and finding.form not in section.held_out_forms
    }
    return list(allowed.values())
