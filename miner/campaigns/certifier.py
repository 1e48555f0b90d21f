"""What certifies a campaign's finds: the checks its world can feed, calibrated on one split and measured on another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.records import conversation_id
from miner.campaigns.results import CheckErrors
from miner.campaigns.run_folder import RunFolder
from miner.checkpoints.devices import first_device
from miner.config.campaign import CampaignConfig
from miner.errors import ConfigError, DataError
from miner.judging.checks import (
    CalibratedCheck,
    Certifier,
    Check,
    Materials,
    Subject,
    build_checks,
    calibrate,
    measure,
    plant,
)
from miner.judging.checks.calibration import DEFAULT_TARGET, identity_of
from miner.judging.checks.verdict import DEFAULT_QUORUM, require_quorum
from miner.judging.reviewed_texts import ReviewedTexts, sensible_texts
from miner.progress import Advance
from miner.searching.source import code_digest
from miner.searching.version import judging_digest
from miner.statistics import rate
from miner.worlds.world import World, spread

if TYPE_CHECKING:
    from miner.language_models import ReferenceLm

PLANTS_PER_KIND = 300
SALADS = 100
ANSWERS = 200
ANOTHER_LM = "give one that does: --reference-lm smollm2 for English, or a folder"
NO_REFERENCE_LM = (
    "no reference LM: word salad cannot be certified, only repetition and what an attack's construction proves. "
    "Give one: --reference-lm FOLDER, or --reference-lm docs for the built-in one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckThreshold:
    """What calibrating a check gave: see ``CalibratedCheck``."""

    check: str
    threshold: float
    target: float | None
    calibration_id: str
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Those of a certifier's checks, and why other checks have none."""

    checks: tuple[CheckThreshold, ...]
    left_out: tuple[str, ...]


def checks_of(config: CampaignConfig, world: World) -> tuple[Check, ...]:
    """The checks that the config asks for, not calibrated yet.

    Raises:
        ConfigError: an unknown check, a named one that lacks its material, or too few for the quorum.
    """
    clean = tuple(subject.response for subject in world.clean["calibration"])
    checks = build_checks(Materials(clean_texts=clean, reference_lm=open_reference_lm(world)), config.checks.names)
    require_quorum(config.checks.quorum or DEFAULT_QUORUM, [check.name for check in checks])
    return checks


def build_certifier(
    config: CampaignConfig,
    world: World,
    checks: Sequence[Check],
    *,
    progress: Advance,
    run: RunFolder | None = None,
) -> tuple[Certifier, tuple[str, ...]]:
    """The certifier of ``checks``, calibrated on the calibration split, and why which of them were left out.

    With the folder of a run, thresholds are those that it keeps for these checks and this clean text.

    Raises:
        ConfigError: a named check lacks clean text, or too few are left for the quorum.
    """
    clean, target = _setting_thresholds(config, world, run), config.checks.false_alarm or DEFAULT_TARGET

    def measured() -> Thresholds:
        return _thresholds(checks, clean, target, may_leave_out=not config.checks.names, progress=progress)

    identity = [[one.name, one.identity, code_digest(type(one).__module__)] for one in checks]
    made_from = [identity, code_digest(calibrate.__module__), identity_of(clean), target, bool(config.checks.names)]
    known = measured() if run is None else run.once("thresholds", made_from, Thresholds, measured)
    check_of = {check.name: check for check in checks}
    calibrated = tuple(
        CalibratedCheck(
            check=check_of[row.check],
            threshold=row.threshold,
            target=row.target,
            calibration_id=row.calibration_id,
            spread=row.spread,
        )
        for row in known.checks
    )
    code = judging_digest(tuple(sorted({type(one.check).__module__ for one in calibrated})))
    return Certifier(checks=calibrated, quorum=config.checks.quorum or DEFAULT_QUORUM, code=code), known.left_out


def _setting_thresholds(config: CampaignConfig, world: World, run: RunFolder | None) -> Sequence[Subject]:
    """The calibration split's good answers, and what people called sensible in the run that the config names, if any: a
    run keeps what it found there at first."""
    clean, named = world.clean["calibration"], config.checks.reviewed
    if named is None:
        return clean
    found = partial(sensible_texts, Path(named))
    kept = found() if run is None else run.once("reviewed", [named], ReviewedTexts, found)
    return [*clean, *kept.subjects]


def _thresholds(
    checks: Sequence[Check], clean: Sequence[Subject], target: float, *, may_leave_out: bool, progress: Advance
) -> Thresholds:
    rows: list[CheckThreshold] = []
    left_out: list[str] = []  # why each was
    for done, check in enumerate(checks, start=1):
        try:
            (one,) = calibrate((check,), clean, target=target, quorum=1).checks
        except ConfigError as error:
            left_out.append(str(error))
        else:
            rows.append(
                CheckThreshold(
                    check=check.name,
                    threshold=one.threshold,
                    target=one.target,
                    calibration_id=one.calibration_id,
                    spread=one.spread,
                )
            )
        progress(done, len(checks))
    if left_out and not may_leave_out:
        others = ",".join(f"'{row.check}'" for row in rows)
        raise ConfigError(
            f'{left_out[0]}. Or leave the check out: --set "checks.names=[{others}]"'
            + ("" if rows else ", which takes all that this campaign can feed")
        )
    return Thresholds(checks=tuple(rows), left_out=tuple(f"left out: {why}" for why in left_out))


@dataclass(frozen=True, slots=True, kw_only=True)
class Convicted:
    """How many of ``n`` texts a certifier convicts."""

    convicted: int
    n: int


def require_sight(certifier: Certifier, config: CampaignConfig, world: World, run: RunFolder) -> None:
    """Refuse a certifier that reads word order and still cannot read this campaign's text: measured once a run.

    Raises:
        ConfigError: it convicts less than ``checks.min_power`` of word salad made of the calibration split's words, or
            more than ``checks.max_alarms``, by more than chance, of the good answers to train prompts, on which no
            threshold was set.
    """
    if not any(one.check.speaks_of == "order" for one in certifier.checks):
        return
    if config.checks.min_power > 0:
        _require_power(certifier, config, world, run)
    if config.checks.max_alarms < 1:
        _require_domain(certifier, config, world, run)


def _require_power(certifier: Certifier, config: CampaignConfig, world: World, run: RunFolder) -> None:
    clean = world.clean["calibration"]
    try:
        salads = plant(clean, per_kind=SALADS)["random_words"]
    except DataError:
        return  # no clean text has enough words: what cannot be measured is not asked for
    found = _convicted(certifier, salads, run, "power", [identity_of(clean), SALADS])
    if found.convicted < config.checks.min_power * found.n:
        raise ConfigError(
            f"the checks convict {found.convicted} of {found.n} word salads made of this campaign's own clean answers "
            f"(at least {config.checks.min_power:.0%} asked for): a find could not be certified. The reference LM does "
            f"not know such text; {ANOTHER_LM}. To go on all the same: --set checks.min_power=0"
        )


def _require_domain(certifier: Certifier, config: CampaignConfig, world: World, run: RunFolder) -> None:
    known = [prompt for prompt in world.by_split["train"] if prompt.reference]
    prompts = spread(known, min(ANSWERS, len(known)), seed=config.seed)
    answers = [Subject(response=prompt.reference or "", prompt=prompt.conversation) for prompt in prompts]
    found = _convicted(certifier, answers, run, "alarms", [identity_of(answers)])
    alarms = [at < found.convicted for at in range(found.n)]
    if found.n and rate(alarms).low > config.checks.max_alarms:
        raise ConfigError(
            f"the checks convict {found.convicted} of {found.n} good answers to train prompts (at most "
            f"{config.checks.max_alarms:.0%} allowed): they are unlike the calibration split's, in another language "
            f"say, and a find there would prove nothing. Leave such prompts out, or {ANOTHER_LM}. To go on all the "
            "same: --set checks.max_alarms=1"
        )


def _convicted(
    certifier: Certifier, subjects: Sequence[Subject], run: RunFolder, name: str, made_from: list[object]
) -> Convicted:
    def measured() -> Convicted:
        return Convicted(
            convicted=sum(one.verdict == "nonsense" for one in certifier.certify(subjects)), n=len(subjects)
        )

    return run.once(name, [certifier.identity, *made_from], Convicted, measured)


def _plants(clean: Sequence[Subject]) -> dict[str, tuple[Subject, ...]]:
    """Planted nonsense; none where no clean text is long enough to shuffle: what cannot be measured is not reported."""
    try:
        return plant(clean, per_kind=PLANTS_PER_KIND)
    except DataError:
        return {}


def open_reference_lm(world: World) -> ReferenceLm | None:
    """The LM that judges, where the world has one. Errors as ``load_language_model``."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCertifier:
    """The errors of a certifier's checks and of its verdict, by name, and what a verdict takes; None of no text."""

    checks: dict[str, CheckErrors]
    seconds_a_text: float | None


def measured_certifier(certifier: Certifier, world: World, run: RunFolder, *, progress: Advance) -> MeasuredCertifier:
    """False alarms on the held-out split's clean text and hits on nonsense planted among it, measured once a run."""
    clean = world.clean["held_out"]
    if not clean:
        return MeasuredCertifier(checks={}, seconds_a_text=None)
    code = [code_digest(made.__module__) for made in (measure, plant)]  # the checks' own is in their identity
    made_from = [certifier.identity, code, identity_of(clean), PLANTS_PER_KIND]
    return run.once("errors", made_from, MeasuredCertifier, lambda: _measured(certifier, world, progress))


def _measured(certifier: Certifier, world: World, progress: Advance) -> MeasuredCertifier:
    clean, started = world.clean["held_out"], time.perf_counter()
    group_of = {prompt.prompt_id: prompt.group_key for prompt in world.by_split["held_out"]}
    planted = _plants(clean)
    found = measure(
        certifier,
        clean,
        planted,
        groups=[group_of[conversation_id(subject.prompt)] for subject in clean],
        progress=progress,
    )
    n_texts = len(clean) + sum(map(len, planted.values()))
    calibrated = {one.check.name: one for one in certifier.checks}
    return MeasuredCertifier(
        checks={
            name: CheckErrors(
                false_alarm=errors.false_alarm,
                hit_rate=errors.hit_rate,
                threshold=calibrated[name].threshold if name in calibrated else None,
                calibration_id=calibrated[name].calibration_id if name in calibrated else None,
            )
            for name, errors in found.items()
        },
        seconds_a_text=(time.perf_counter() - started) / n_texts,
    )
