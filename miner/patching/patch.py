"""A patch: the RM retrained on findings among clean pairs, its clean scores held where they were.

Raw Bradley–Terry training on findings alone makes an RM forget. Three things hold it: most pairs are clean, clean
scores are anchored to what they were, and the steps are few and small.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random

from transformers import PreTrainedModel

from corpus.records import Finding, Form, Prompt
from miner.checkpoints.memory import require_training_room
from miner.config.campaign import PatchSection
from miner.config.reward_model import TrainingDType
from miner.errors import ConfigError
from miner.patching import online, procedural
from miner.patching.pairs import clean_pairs, finding_pairs, of_every_kind, over_nonsense, paired
from miner.patching.preference_trainer import (
    Progress,
    Recipe,
    require_freezable,
    require_lora,
    train_preferences,
)
from miner.patching.report import PatchReport
from miner.patching.trainable import Trainable
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair


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
        ConfigError: there is nothing to train on, or a finding of another split than train; and as ``require_method``.
    """
    require_method(rm, prompts, section)
    usable = require_findings(findings, section)
    n_pairs = section.steps * section.batch_pairs
    n_findings = min(round(section.findings_share * n_pairs), REPEATS * len(usable))
    rng = Random(seed)
    shown = of_every_kind(usable, n_findings, rng)
    floor = None if section.floor is None else _floor(rm, prompts, section.floor)
    n_made = 0 if procedural.FAMILY in section.held_out_families else round(section.procedural_share * n_pairs)
    made = procedural.nonsense_pairs(prompts, n_made, rng, held_out_forms=section.held_out_forms)
    n_clean = n_pairs - n_findings - len(made)
    pairs = [
        *clean_pairs(rm, prompts, n_clean, rng, anchored=True),
        *finding_pairs(rm, shown, n_findings, rng, floor=floor),
        *over_nonsense(rm, made, floor),
    ]
    rng.shuffle(pairs)
    model = copy.deepcopy(rm.model)
    moving = _moving(rm, model, prompts, section, floor, seed)
    recipe = _recipe(section, dtype)
    train_preferences(rm, model, pairs, recipe, out=out, seed=seed, progress=progress, online=moving)
    families = {finding.family for finding in shown}
    forms: set[Form] = {finding.form for finding in shown}
    if made:
        families.add(procedural.FAMILY)
        forms |= procedural.FORMS - set(section.held_out_forms)
    if moving is not None:
        families.add(online.FAMILY)
        forms.add(online.FORM)
    return PatchReport(
        clean_pairs=n_clean,
        findings=len(shown),
        not_shown=len(usable) - len(shown),
        procedural=len(made),
        online=section.steps * section.online_pairs if moving is not None else 0,
        without_reference=len(findings) - len(usable),
        families=tuple(sorted(families)),
        forms=tuple(sorted(forms)),
        steps=section.steps,
    )


def require_method(rm: Trainable, prompts: Sequence[Prompt], section: PatchSection) -> None:
    """Refuse what could not be trained here, whatever is found.

    Raises:
        ConfigError: no clean pair, no such parameters to keep as they are, or no package for LoRA.
        NoRoomError: all weights are to be trained, and their gradients and moments do not fit the device.
    """
    paired(prompts)
    require_freezable(rm.model, section.frozen)
    if section.lora_rank:
        require_lora()
    else:
        require_training_room(rm.model, rm.model.device, section.frozen)


def require_findings(findings: Sequence[Finding], section: PatchSection) -> list[Finding]:
    """Those that can be trained on.

    Raises:
        ConfigError: there is none, and no sham patch was asked for; or one is of another split than train.
    """
    if leaked := [finding for finding in findings if finding.split != "train"]:
        raise ConfigError(f"{len(leaked)} findings are not of the train split; a patch on them would measure nothing")
    usable = [finding for finding in findings if finding.reference is not None]
    if section.findings_share and not usable:
        raise ConfigError("no finding with a reference to train on. Mine the train split first: rmminer mine")
    return usable


def _floor(rm: Trainable, prompts: Sequence[Prompt], deviations: float) -> float:
    """So many standard deviations above the mean of the clean references' rewards, of up to ``FLOOR_TEXTS``."""
    clean = (Pair(p.conversation, p.reference) for p in prompts if p.reference is not None)
    rewards = rm.exact_rewards(list(islice(clean, FLOOR_TEXTS)))
    return float(rewards.mean() + deviations * rewards.std())


def _moving(
    rm: Trainable,
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    section: PatchSection,
    floor: float | None,
    seed: int,
) -> online.OnlineTexts | None:
    """Texts to move against ``model`` in training; None where none are asked for, where the campaign keeps gradients
    from the patch, and where the RM has none."""
    held_out = online.FAMILY in section.held_out_families or online.FORM in section.held_out_forms
    if not section.online_pairs or held_out or not isinstance(rm, TransformerRewardModel) or not rm.has_gradients:
        return None
    n, pool = section.online_pairs, section.online_pool
    return online.OnlineTexts(rm, model, prompts, n=n, pool=pool, floor=floor, seed=seed)


FLOOR_TEXTS = 256
REPEATS = 8  # a finding is shown at most so often: a handful of finds must not fill a quarter of the training


def _recipe(section: PatchSection, dtype: TrainingDType) -> Recipe:
    return Recipe(
        max_steps=section.steps,
        batch_pairs=section.batch_pairs,
        learning_rate=section.learning_rate,
        centre=section.centre,
        anchor=section.anchor,
        lora_rank=section.lora_rank,
        frozen=section.frozen,
        dtype=dtype,
    )
