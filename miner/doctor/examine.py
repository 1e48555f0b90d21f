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
from miner.progress import Advance
from miner.rewards import load_reward_model
from miner.rewards.sources import resolve_folder

Examination = Callable[[Patient], Iterator[Diagnosis]]

MIN_TEXTS = 8
NO_LOAD = "save it again with save_pretrained, or fetch it again: a file is damaged or missing"
AFTER_LOADING: tuple[Examination, ...] = (
    tokens.padding,
    tokens.begin_of_sequence,
    tokens.chat_template,
    tokens.truncation,
    tokens.vocabulary,
    scores.finite,
)
ON_FINITE_REWARDS: tuple[Examination, ...] = (
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
        ModelError: there is no such folder or hub id.
        ConfigError: too few prompts with a reference.
    """
    usable = tuple(prompt for prompt in prompts if prompt.reference)
    if len(usable) < MIN_TEXTS:
        raise ConfigError(f"{len(usable)} prompts with a good answer; the doctor needs {MIN_TEXTS}. Give more --data")
    started = time.perf_counter()
    folder = resolve_folder(source, revision)
    try:
        rm = load_reward_model(folder, **options)
    except ModelError as error:
        found, _, fix = str(error).replace(str(folder), source).rpartition(". ")
        diagnoses = [of_colour("red", "loads safely", found or fix, fix if found else NO_LOAD)]
        return _report(source, None, texts, started, diagnoses)
    patient = Patient(rm, folder, usable, owned)
    diagnoses = [green("loads safely", f"{type(rm.model).__name__}, safetensors, one label, trained head")]
    waiting = [*AFTER_LOADING, *ON_FINITE_REWARDS]
    for done, examination in enumerate(waiting):
        if examination in ON_FINITE_REWARDS and any(d.colour == "red" for d in diagnoses if d.examination == _FINITE):
            break
        diagnoses += _run(examination, patient)
        progress(done + 1, len(waiting))
    return _report(source, rm.fingerprint, texts, started, diagnoses)


_FINITE = "finite rewards"


def _run(examination: Examination, patient: Patient) -> list[Diagnosis]:
    try:
        return list(examination(patient))
    except RmMinerError as error:
        name = examination.__name__.replace("_", " ")
        return [of_colour("red", name, f"could not be examined: {error}", "mend what is red above, then examine again")]


def _report(source: str, fingerprint: str | None, texts: str, started: float, diagnoses: Sequence[Diagnosis]) -> Report:
    return Report(
        model=Path(source).name,
        rm_fingerprint=fingerprint,
        texts=texts,
        seconds=time.perf_counter() - started,
        diagnoses=tuple(diagnoses),
    )
