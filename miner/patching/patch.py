"""A patch: the RM retrained on findings among clean pairs, its clean scores held where they were.

Raw Bradley–Terry training on findings alone makes an RM forget. Three things hold it: most pairs are clean, clean
scores are anchored to what they were, and the steps are few and small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from corpus.records import Finding, Form, Prompt
from miner.config.campaign import PatchSection
from miner.config.reward_model import TrainingDType
from miner.errors import ConfigError
from miner.patching.pairs import clean_pairs, finding_pairs
from miner.patching.preference_trainer import Progress, Recipe, TrainingPair, train_preferences
from miner.patching.trainable import Trainable


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchReport:
    """What went into a patch. ``families`` and ``forms`` are those of its findings: what it has *seen*."""

    clean_pairs: int
    findings: int
    without_reference: int
    families: tuple[str, ...]
    forms: tuple[Form, ...]
    steps: int

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> PatchReport:
        """The report that ``patch.json`` holds."""
        return cls(**{**stored, "families": tuple(stored["families"]), "forms": tuple(stored["forms"])})


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


def patch(
    rm: Trainable,
    prompts: Sequence[Prompt],
    findings: Sequence[Finding],
    section: PatchSection,
    *,
    out: Path,
    seed: int,
    dtype: TrainingDType = "auto",
    progress: Progress,
) -> PatchReport:
    """Retrain ``rm``'s weights into the folder ``out``; ``rm`` itself is left as it was.

    ``prompts`` are the train split's, ``findings`` those of ``training_findings``.

    Raises:
        ConfigError: there is nothing to train on, or a held-out prompt among the findings.
    """
    if leaked := [finding for finding in findings if finding.split != "train"]:
        raise ConfigError(f"{len(leaked)} findings are not of the train split; a patch on them would measure nothing")
    usable = [finding for finding in findings if finding.reference is not None]
    if not usable:
        raise ConfigError("no finding with a reference to train on. Mine the train split first: rmminer mine")
    n_pairs = section.steps * section.batch_pairs
    n_findings = min(round(section.findings_share * n_pairs), REPEATS * len(usable))
    rng = Random(seed)
    pairs = [
        *clean_pairs(rm, prompts, n_pairs - n_findings, rng, anchored=True),
        *finding_pairs(rm, usable, n_findings, rng),
    ]
    rng.shuffle(pairs)
    _train(rm, pairs, section, out=out, seed=seed, dtype=dtype, progress=progress)
    return PatchReport(
        clean_pairs=n_pairs - n_findings,
        findings=len(usable),
        without_reference=len(findings) - len(usable),
        families=tuple(sorted(Counter(finding.family for finding in usable))),
        forms=tuple(sorted(Counter(finding.form for finding in usable))),
        steps=section.steps,
    )


REPEATS = 8  # a finding is shown at most so often: a handful of finds must not fill a quarter of the training


def _train(
    rm: Trainable,
    pairs: Sequence[TrainingPair],
    section: PatchSection,
    *,
    out: Path,
    seed: int,
    dtype: TrainingDType,
    progress: Progress,
) -> None:
    import copy

    recipe = Recipe(
        max_steps=section.steps,
        batch_pairs=section.batch_pairs,
        learning_rate=section.learning_rate,
        centre=section.centre,
        anchor=section.anchor,
        lora_rank=section.lora_rank,
        dtype=dtype,
    )
    train_preferences(rm, copy.deepcopy(rm.model), pairs, recipe, out=out, seed=seed, progress=progress)
