"""Runs the examinations, in an order in which each can rely on those before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from corpus.records import Prompt
from miner.doctor import behaviour, scores, tokens
from miner.doctor.diagnosis import Diagnosis, Report, green, of_colour
from miner.doctor.patient import Patient
from miner.errors import ConfigError, ModelError, RmMinerError
from miner.evaluation import takes
from miner.progress import Advance
from miner.rewards import Pair, RewardModel, load_reward_model
from miner.rewards.batching import out_of_memory
from miner.rewards.devices import resolve_devices
from miner.rewards.sources import first_line, resolve_folder

Examination = Callable[[Patient], Iterator[Diagnosis]]

MIN_TEXTS = 8
NO_ROOM = "does not fit"
NO_LOAD = "save it again with save_pretrained, or fetch it again: a file is damaged or missing"
EXAMINATIONS: tuple[Examination, ...] = (
    tokens.padding,
    tokens.begin_of_sequence,
    tokens.chat_template,
    tokens.truncation,
    tokens.vocabulary,
    tokens.unknown_tokens,
    scores.finite,
    scores.repeatable,
    scores.padding_sides,
    scores.rmminer_paths,
    scores.ranking_dtype,
    scores.attention,
    scores.pooling,
    behaviour.ties,
    behaviour.trivial_answers,
    behaviour.length,
    behaviour.accuracy,
)
FATAL: tuple[Examination, ...] = (tokens.vocabulary, scores.finite)  # red here, and nothing after it means anything


def examine(
    source: str,
    prompts: Sequence[Prompt],
    *,
    texts: str,
    owned: bool,
    progress: Advance,
    revision: str | None = None,
    **options: Any,
) -> Report:
    """Examine the RM at ``source`` on ``prompts`` (those without a reference are left out).

    ``options`` are those of ``load_reward_model``. A model that does not load is a red diagnosis, not an error.

    Raises:
        ModelError: there is no such folder, hub id or device, or the device has no room for the model.
        ConfigError: too few prompts with a reference.
    """
    usable = tuple(prompt for prompt in prompts if prompt.reference)
    if len(usable) < MIN_TEXTS:
        raise ConfigError(f"{len(usable)} prompts with a good answer; the doctor needs {MIN_TEXTS}. Give more --data")
    started = time.perf_counter()
    folder = resolve_folder(source, revision)
    resolve_devices(options.get("device") or "auto")
    try:
        rm = load_reward_model(folder, **options)
    except ModelError as error:
        if NO_ROOM in str(error):
            raise
        found, _, fix = str(error).replace(str(folder), source).rpartition(". ")
        diagnoses = [of_colour("red", "loads safely", found or fix, fix if found else NO_LOAD)]
        return _report(source, None, texts, started, diagnoses)
    taken = tuple(prompt for prompt in usable if _takes(rm, prompt))
    diagnoses = [
        green("loads safely", f"{type(rm.model).__name__}, safetensors, one label, trained head"),
        _texts(len(usable) - len(taken), len(usable)),
    ]
    if len(taken) >= MIN_TEXTS:
        patient = Patient(rm, folder, taken, owned)
        for done, examination in enumerate(EXAMINATIONS, start=1):
            diagnoses += (found_now := _run(examination, patient))
            progress(done, len(EXAMINATIONS))
            if examination in FATAL and any(diagnosis.colour == "red" for diagnosis in found_now):
                break
    return _report(source, rm.fingerprint, texts, started, diagnoses)


def _takes(rm: RewardModel, prompt: Prompt) -> bool:
    """Whether the RM takes the prompt with every answer that it is examined on."""
    texts = (str(prompt.reference), *prompt.rejected, *behaviour.TRIVIAL.values())
    return takes(rm, [Pair(prompt.conversation, text) for text in texts])


def _texts(left_out: int, n: int) -> Diagnosis:
    return of_colour(
        "red" if n - left_out < MIN_TEXTS else "amber" if left_out else "green", "texts",
        f"{left_out} of {n} prompts left out: too long for the model, or refused by its template" if left_out
        else f"all {n} prompts fit",
        "truncate by choice (--set rm.truncation=left|right), or give data with shorter texts and roles it knows",
    )  # fmt: skip


def _run(examination: Examination, patient: Patient) -> list[Diagnosis]:
    name = examination.__name__.replace("_", " ")
    try:
        return list(examination(patient))
    except (RmMinerError, RuntimeError, IndexError, ValueError) as error:
        if out_of_memory(error) or NO_ROOM in str(error):
            return [of_colour("amber", name, "not examined: it does not fit this device's memory", "--device cpu")]
        return [of_colour("red", name, f"failed: {first_line(error)}", "mend what is red above, then examine again")]


def _report(source: str, fingerprint: str | None, texts: str, started: float, diagnoses: Sequence[Diagnosis]) -> Report:
    return Report(
        model=Path(source).name,
        rm_fingerprint=fingerprint,
        texts=texts,
        seconds=time.perf_counter() - started,
        diagnoses=tuple(diagnoses),
    )
