"""The campaign's judge: the checks its world can feed, calibrated on one split and measured on another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.records import conversation_id
from miner.campaigns.results import CheckErrors
from miner.checkpoints.devices import first_device
from miner.config.campaign import CampaignConfig
from miner.errors import ConfigError, DataError
from miner.judging.checks import CalibratedCheck, Judge, Materials, Subject, build_checks, calibrate, measure, plant
from miner.judging.checks.calibration import DEFAULT_TARGET
from miner.judging.checks.verdict import DEFAULT_QUORUM
from miner.progress import Advance
from miner.worlds.world import World

if TYPE_CHECKING:
    from miner.language_models import ReferenceLm

PLANTS_PER_KIND = 300
NO_REFERENCE_LM = (
    "no reference LM: word salad cannot be certified, only repetition and what an attack's construction proves. "
    "Give one: --reference-lm FOLDER, or --reference-lm docs for the built-in one"
)


def build_judge(config: CampaignConfig, world: World, *, progress: Advance) -> tuple[Judge, tuple[str, ...]]:
    """The judge that the config asks for, calibrated on the calibration split, and why which checks were left out.

    Raises:
        ConfigError: an unknown check, a named one that lacks its material or clean text, or too few for the quorum.
    """
    clean = world.clean["calibration"]
    materials = Materials(clean_texts=tuple(subject.response for subject in clean), reference_lm=_reference_lm(world))
    checks = build_checks(materials, config.checks.names)
    calibrated: list[CalibratedCheck] = []
    left_out: list[str] = []
    for done, check in enumerate(checks, start=1):
        try:
            alone = calibrate((check,), clean, target=config.checks.false_alarm or DEFAULT_TARGET, quorum=1)
            calibrated += alone.checks
        except ConfigError as error:
            if config.checks.names:
                raise
            left_out.append(f"left out: {error}")
        progress(done, len(checks))
    return Judge(checks=tuple(calibrated), quorum=config.checks.quorum or DEFAULT_QUORUM), tuple(left_out)


def _plants(clean: Sequence[Subject]) -> dict[str, tuple[Subject, ...]]:
    """Planted nonsense; none where no clean text is long enough to shuffle: what cannot be measured is not reported."""
    try:
        return plant(clean, per_kind=PLANTS_PER_KIND)
    except DataError:
        return {}


def _reference_lm(world: World) -> ReferenceLm | None:
    if world.reference_lm is None:
        return None
    from miner.language_models import NGramModel, is_ngram_model, load_language_model

    section = world.reference_lm
    if is_ngram_model(Path(section.source)):
        return NGramModel.load(Path(section.source))
    return load_language_model(
        section.source,
        revision=section.revision,
        trust_remote_code=section.trust_remote_code,
        device=first_device(world.rm.device),
    )


def check_errors(judge: Judge, world: World, *, progress: Advance) -> dict[str, CheckErrors]:
    """Measured on the held-out split: false alarms on its clean text, hits on nonsense planted among it."""
    clean = world.clean["held_out"]
    if not clean:
        return {}
    group_of = {prompt.prompt_id: prompt.group_key for prompt in world.prompts}
    found = measure(
        judge,
        clean,
        _plants(clean),
        groups=[group_of[conversation_id(subject.prompt)] for subject in clean],
        progress=progress,
    )
    calibrated = {one.check.name: one for one in judge.checks}
    return {
        name: CheckErrors(
            false_alarm=errors.false_alarm,
            hit_rate=errors.hit_rate,
            threshold=calibrated[name].threshold if name in calibrated else None,
            calibration_id=calibrated[name].calibration_id if name in calibrated else None,
        )
        for name, errors in found.items()
    }
