"""A patch: the RM retrained on findings among clean pairs, its clean scores held where they were.

Raw Bradley–Terry training on findings alone makes an RM forget. Three things hold it: most pairs are clean, clean
scores are anchored to what they were, and the steps are few and small.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from random import Random

from corpus.records import Finding, Prompt
from miner.checkpoints.memory import require_training_room
from miner.config.campaign import PatchSection
from miner.config.reward_model import TrainingDType
from miner.errors import ConfigError
from miner.patching.pairs import clean_pairs, finding_pairs, of_every_kind
from miner.patching.preference_trainer import Progress, Recipe, TrainingPair, train_preferences
from miner.patching.report import PatchReport
from miner.patching.trainable import Trainable


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

    With ``findings_share`` 0 it is a sham: clean pairs alone, for as many steps.

    Raises:
        ConfigError: there is nothing to train on, or a finding of another split than train.
        NoRoomError: all weights are to be trained, and their gradients and moments do not fit the device.
    """
    if leaked := [finding for finding in findings if finding.split != "train"]:
        raise ConfigError(f"{len(leaked)} findings are not of the train split; a patch on them would measure nothing")
    usable = [finding for finding in findings if finding.reference is not None]
    if section.findings_share and not usable:
        raise ConfigError("no finding with a reference to train on. Mine the train split first: rmminer mine")
    n_pairs = section.steps * section.batch_pairs
    n_findings = min(round(section.findings_share * n_pairs), REPEATS * len(usable))
    rng = Random(seed)
    shown = of_every_kind(usable, n_findings, rng)
    pairs = [
        *clean_pairs(rm, prompts, n_pairs - n_findings, rng, anchored=True),
        *finding_pairs(rm, shown, n_findings, rng),
    ]
    rng.shuffle(pairs)
    _train(rm, pairs, section, out=out, seed=seed, dtype=dtype, progress=progress)
    return PatchReport(
        clean_pairs=n_pairs - n_findings,
        findings=len(shown),
        not_shown=len(usable) - len(shown),
        without_reference=len(findings) - len(usable),
        families=tuple(sorted({finding.family for finding in shown})),
        forms=tuple(sorted({finding.form for finding in shown})),
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
    if not section.lora_rank:
        require_training_room(rm.model, rm.model.device, section.frozen)
    recipe = Recipe(
        max_steps=section.steps,
        batch_pairs=section.batch_pairs,
        learning_rate=section.learning_rate,
        centre=section.centre,
        anchor=section.anchor,
        lora_rank=section.lora_rank,
        frozen=section.frozen,
        dtype=dtype,
    )
    train_preferences(rm, copy.deepcopy(rm.model), pairs, recipe, out=out, seed=seed, progress=progress)
