"""Runs the diagnostics, in an order in which each can rely on those before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from corpus.records import Prompt
from miner.checkpoints.batching import out_of_memory
from miner.checkpoints.devices import resolve_devices
from miner.checkpoints.folders import first_line, resolve_folder
from miner.config.kinds import REWARD_MODELS, kind_called
from miner.config.reward_model import RewardModelSection
from miner.errors import ConfigError, ModelError, NoRoomError
from miner.measuring.doctor import behaviour, scores, tokens
from miner.measuring.doctor.diagnosis import Diagnosis, Report, green, of_severity
from miner.measuring.doctor.model_under_test import LocalModelUnderTest, ModelUnderTest
from miner.progress import Advance
from miner.rewards import Pair, RewardModel
from miner.rewards.compute.forward import Forward
from miner.rewards.compute.refusals import Refusal, advice, why
from miner.rewards.opening import open_reward_model

MIN_TEXTS = 8
NO_LOAD = "save it again with save_pretrained, or fetch it again: a file is damaged or missing"
OF_TOKENS = (
    tokens.padding,
    tokens.begin_of_sequence,
    tokens.chat_template,
    tokens.date_in_template,
    tokens.truncation,
    tokens.vocabulary,
    tokens.unknown_tokens,
)
OF_REWARDS = (scores.finite, scores.repeatable)
OF_COMPUTATION = (scores.padding_sides, scores.rmminer_paths, scores.attention, scores.pooling)
OF_BEHAVIOUR = (scores.ranking_dtype, behaviour.ties, behaviour.trivial_answers, behaviour.length, behaviour.accuracy)
FATAL = (tokens.vocabulary.__name__, scores.finite.__name__)  # red here, and nothing after it means anything


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One test of a model, by the name of what is tested."""

    name: str
    run: Callable[[], Iterator[Diagnosis]]


def examine(
    section: RewardModelSection, prompts: Sequence[Prompt], *, texts: str, owned: bool, progress: Advance
) -> Report:
    """Examine the RM that ``section`` describes on ``prompts`` (those without a reference are left out).

    A model that does not load is a red diagnosis, not an error.

    Raises:
        ModelError: there is no such folder, hub id or device.
        NoRoomError: the device has no room for the model.
        ConfigError: too few prompts with a reference.
    """
    usable = tuple(prompt for prompt in prompts if prompt.reference)
    if len(usable) < MIN_TEXTS:
        raise ConfigError(
            f"{len(usable)} prompts with a good answer; the doctor needs {MIN_TEXTS}. Give data with more: --data FILE "
            "(rmminer data FILE shows how it is read)"
        )
    started, source = time.perf_counter(), str(section.source)
    is_folder = kind_called(section.kind, REWARD_MODELS).is_folder
    folder = resolve_folder(source, section.revision) if is_folder else None
    if is_folder:
        resolve_devices(section.device)
    try:
        rm = open_reward_model(section, {prompt.conversation: str(prompt.reference) for prompt in usable})
    except NoRoomError:
        raise
    except ModelError as error:
        found, _, fix = str(error).replace(str(folder), source).rpartition(". ")
        diagnoses = [of_severity("red", "loads safely", found or fix, fix if found else NO_LOAD)]
        return _report(source, None, texts, started, diagnoses)
    reasons = [_refusal(rm, prompt) for prompt in usable]
    taken = tuple(prompt for prompt, reason in zip(usable, reasons, strict=True) if reason is None)
    refusals = [reason for reason in reasons if reason is not None]
    diagnoses = [green("loads safely", _loaded(rm)), _texts(refusals, len(usable))]
    if len(taken) >= MIN_TEXTS:
        diagnostics = _diagnostics(rm, folder, taken, owned)
        for done, diagnostic in enumerate(diagnostics, start=1):
            diagnoses += (found_now := _run(diagnostic))
            progress(done, len(diagnostics))
            if diagnostic.name in FATAL and any(diagnosis.colour == "red" for diagnosis in found_now):
                break
    return _report(source, rm.fingerprint, texts, started, diagnoses)


def _diagnostics(rm: RewardModel, folder: Path | None, prompts: tuple[Prompt, ...], owned: bool) -> list[Diagnostic]:
    """All that can be tested, each after what it relies on; where no weights are at hand, only rewards."""
    general: list[Callable[[ModelUnderTest], Iterator[Diagnosis]]] = [*OF_REWARDS, *OF_BEHAVIOUR]
    if folder is None or not (isinstance(rm, Forward) and rm.reads_its_models_output):
        model = ModelUnderTest(rm, prompts, owned)
        return [Diagnostic(test.__name__, partial(test, model)) for test in (_rewards_only, *general)]
    local = LocalModelUnderTest(rm, prompts, owned, rm, folder)
    tests = (*OF_TOKENS, *OF_REWARDS, *OF_COMPUTATION, *OF_BEHAVIOUR)
    return [Diagnostic(test.__name__, partial(test, local)) for test in tests]


def _rewards_only(model: ModelUnderTest) -> Iterator[Diagnosis]:
    """What is not tested where no weights are at hand."""
    kind = type(model.rm).__name__
    yield green(
        "tokens and weights", f"a {kind}: padding, template, truncation, attention and pooling are not examined"
    )


def _loaded(rm: RewardModel) -> str:
    if not isinstance(rm, Forward):
        return type(rm).__name__
    values = "one value" if rm.readout.weighting is None else f"{len(rm.readout.weighting)} values weighed into one"
    return f"{type(rm.model).__name__}, safetensors, {values}, trained head"


def _refusal(rm: RewardModel, prompt: Prompt) -> Refusal | None:
    """Why the RM cannot score the prompt with one of the answers that it is examined on."""
    texts = (str(prompt.reference), *prompt.rejected, *behaviour.TRIVIAL.values())
    refusals = (rm.refusal(Pair(prompt.conversation, text)) for text in texts)
    return next((refusal for refusal in refusals if refusal is not None), None)


def _texts(refusals: Sequence[Refusal], n: int) -> Diagnosis:
    return of_severity(
        "red" if n - len(refusals) < MIN_TEXTS else "amber" if refusals else "green", "texts",
        f"{len(refusals)} of {n} prompts left out: {why(refusals)}" if refusals else f"all {n} prompts fit",
        advice(refusals) or f"give {MIN_TEXTS} prompts that the model can read",
    )  # fmt: skip


def _run(diagnostic: Diagnostic) -> list[Diagnosis]:
    name = diagnostic.name.replace("_", " ")
    try:
        return list(diagnostic.run())
    except Exception as error:  # a diagnostic that fails is what was found
        if isinstance(error, NoRoomError) or out_of_memory(error):
            return [of_severity("amber", name, "not examined: it does not fit this device's memory", "--device cpu")]
        return [of_severity("red", name, f"failed: {first_line(error)}", "fix what is red above, then examine again")]


def _report(source: str, fingerprint: str | None, texts: str, started: float, diagnoses: Sequence[Diagnosis]) -> Report:
    return Report(
        model=Path(source).name,
        rm_fingerprint=fingerprint,
        texts=texts,
        seconds=time.perf_counter() - started,
        diagnoses=tuple(diagnoses),
    )
