"""Measures the diversity of several sides, the first of which the others are compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.records import Prompt
from miner.campaigns.usage import machine
from miner.errors import ConfigError
from miner.judging.gold import Answer, Gold
from miner.measuring.diversity.embedding import SentenceEmbedding
from miner.measuring.diversity.measurement import SetValue, changes, metrics, set_values, sizes_for
from miner.measuring.diversity.policy import MeasuredSource, PolicyReader, PolicyStatistics, Settings
from miner.measuring.diversity.report import DiversityReport, MeasuredPolicy
from miner.measuring.diversity.response_sets import MIN_SETS, ResponseSets
from miner.progress import Advance, Observer
from miner.searching.version import package_version
from miner.statistics import Difference, Mean, mean, paired_difference

MAP_TEXTS = 300
MIN_GROUPS = 10

Floats = npt.NDArray[np.float64]


def measure_diversity(
    sources: Sequence[MeasuredSource],
    prompts: Sequence[Prompt],
    *,
    embedding: SentenceEmbedding,
    settings: Settings,
    gold: Gold | None,
    folder: Path,
    observer: Observer,
    command: str,
) -> DiversityReport:
    """The report on all sides. ``prompts`` are what policies are asked; ``folder`` keeps their samples.

    Raises:
        ConfigError: no side, or one with too few texts for an interval.
        ModelError, TooLongError: from the policies.
    """
    if not sources:
        raise ConfigError("nothing to measure: give a policy's folder, --texts FILE or --corpus RUN")
    reader = PolicyReader(prompts=prompts, embedding=embedding, settings=settings, folder=folder, observer=observer)
    read, lost = _with_gold(reader.read_all(sources), gold, observer)
    sizes = sizes_for([one.response_sets for one in read], settings.samples, seed=settings.seed)
    with observer.stage("embedding the texts") as advance:
        texts = sorted({text for one in read for text in one.response_sets.texts})
        vectors = dict(zip(texts, embedding.embed(texts, advance), strict=True))
    values = []
    with observer.stage("measuring how varied the texts are") as advance:
        for one in read:
            of_sets = set_values(
                one.response_sets, vectors, sizes, mode_distance=settings.mode_distance, seed=settings.seed
            )
            values.append([*one.overall, *of_sets])
            advance(len(values), len(read))
    points = _plane([[vectors[text] for text in _shown(one.response_sets)] for one in read])
    sides: list[MeasuredPolicy] = []
    with observer.stage("comparing with the first") as advance:
        for one, own, at in zip(read, values, points, strict=True):
            sides.append(_side(one, read[0], own, values[0], at, settings.seed))
            advance(len(sides), len(read))
    return DiversityReport(
        sides=sides,
        settings={
            **asdict(settings),
            "set_within": sizes.within,
            "set_across": sizes.across,
            "n_grams_drawn": {str(n): draw for n, draw in sizes.draws.items()},
            "embedding": embedding.name,
            "embedding_fingerprint": embedding.fingerprint,
            "gold": gold.name if gold else None,
            "gold_fingerprint": gold.fingerprint if gold else None,
        },
        notes=[*_notes(read, sizes.within, settings), *lost],
        command=command,
        code_version=package_version(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
    )


def _with_gold(
    read: Sequence[PolicyStatistics], gold: Gold | None, observer: Observer
) -> tuple[list[PolicyStatistics], list[str]]:
    """The same with the gold of each prompt's texts, and a note where gold abstained."""
    if gold is None:
        return list(read), []
    found, lost = [], []
    for one in read:
        with observer.stage(f"{one.source.label}: gold of the texts") as advance:
            worth, abstained = _gold(one.response_sets, gold, advance)
        found.append(replace(one, gold=worth))
        if abstained:
            lost.append(f"{one.source.label}: {abstained} prompts have no gold: it abstained on a text.")
    return found, lost


def _side(
    one: PolicyStatistics,
    first: PolicyStatistics,
    values: Sequence[SetValue],
    before: Sequence[SetValue],
    points: list[tuple[float, float]],
    seed: int,
) -> MeasuredPolicy:
    groups = {written.key: written.group for written in one.response_sets.written}
    kl, gold = _mean(one.kl, groups, seed), _mean(one.gold, groups, seed)
    given = one.source
    sqrt_kl = given.sqrt_kl if given.sqrt_kl is not None else math.sqrt(max(kl.value, 0.0)) if kl else None
    if sqrt_kl is None and one is first and one.source.policy is not None:
        sqrt_kl = 0.0
    compared = one is not first and one.response_sets.paired and first.response_sets.paired
    return MeasuredPolicy(
        label=given.label,
        source=given.policy or given.label,
        fingerprint=one.fingerprint,
        chat_template=one.chat_template,
        texts=len(one.response_sets.texts),
        prompts=len(one.response_sets.written),
        metrics=metrics(values, seed=seed),
        changes=changes(values, before, seed=seed) if compared else [],
        entropy_by_position=_positions(one, groups, seed),
        attractor=one.attractor,
        kl=kl,
        sqrt_kl=sqrt_kl,
        gold=gold,
        gold_given=given.gold if gold is None else None,
        gold_change=_paired(one.gold, first.gold, groups, seed) if compared else None,
        points=points,
    )


def _mean(values: dict[str, float], groups: dict[str, str], seed: int) -> Mean | None:
    if len({groups[key] for key in values}) < MIN_SETS:
        return None
    return mean(list(values.values()), groups=[groups[key] for key in values], seed=seed)


def _paired(ours: dict[str, float], theirs: dict[str, float], groups: dict[str, str], seed: int) -> Difference | None:
    keys = [key for key in ours if key in theirs]
    if len({groups[key] for key in keys}) < MIN_SETS:
        return None
    return paired_difference([ours[k] for k in keys], [theirs[k] for k in keys], [groups[k] for k in keys], seed)


def _gold(response_sets: ResponseSets, gold: Gold, progress: Advance) -> tuple[dict[str, float], int]:
    """The mean gold of each prompt's responses, where it has a prompt and what the gold needs; and on how many more
    prompts gold abstained, on one text or on all."""
    found: dict[str, float] = {}
    asked = [w for w in response_sets.written if w.prompt and (w.reference is not None or not gold.needs_reference)]
    for done, one in enumerate(asked, start=1):
        different = list(dict.fromkeys(one.responses))
        answers = [Answer(prompt=one.prompt, response=text, reference=one.reference) for text in different]
        worth = {text: s for text, s in zip(different, gold.scores(answers), strict=True) if s is not None}
        if len(worth) == len(different):
            found[one.key] = float(np.mean([worth[text] for text in one.responses]))
        progress(done, len(asked))
    return found, len(asked) - len(found)


def _positions(one: PolicyStatistics, groups: dict[str, str], seed: int) -> list[Mean]:
    """Entropy by position, as far as half of the prompts have samples that long."""
    table, found = one.entropies, []
    for position in range(max(map(len, table.values()), default=0)):
        values = {key: float(row[position]) for key, row in table.items() if not np.isnan(row[position])}
        at = _mean(values, groups, seed) if 2 * len(values) >= len(table) else None
        if at is None:
            break
        found.append(at)
    return found


def _shown(side: ResponseSets) -> list[str]:
    step = max(1, math.ceil(len(side.texts) / MAP_TEXTS))
    return list(side.texts[::step])


def _plane(sides: Sequence[Sequence[Floats]]) -> list[list[tuple[float, float]]]:
    """The texts on the two main axes of all of them together."""
    everything = np.array([vector for side in sides for vector in side])
    centred = everything - everything.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes[:2].T
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    ends = np.cumsum([len(side) for side in sides])
    return [[(round(x, 4), round(y, 4)) for x, y in part.tolist()] for part in np.split(flat, ends[:-1])]


def _notes(read: Sequence[PolicyStatistics], within: int | None, settings: Settings) -> list[str]:
    """What a reader must know about these very numbers."""
    found = []
    for one in read:
        label = one.source.label
        if one.chat_template is False:
            found.append(f"{label} has no chat template: prompts were given as bare text, turns joined by line breaks.")
        if one.fingerprint is not None and settings.off_mode_tokens and one.attractor is None:
            found.append(f"{label}: too few prompts have a top mode of two texts; no attractor test.")
        if within is not None and len({w.group for w in one.response_sets.written}) < MIN_GROUPS:
            found.append(f"{label}: fewer than {MIN_GROUPS} groups of prompts; intervals are too narrow.")
        if one is not read[0] and not (one.response_sets.paired and read[0].response_sets.paired):
            found.append(
                f"{label} and {read[0].source.label} have no prompts in common; they are not compared in pairs."
            )
    if settings.temperature != 1 and any(one.fingerprint for one in read):
        found.append(f"Entropies and KL are those of temperature 1, along samples of {settings.temperature:g}.")
    templates = {one.chat_template for one in read} - {None}
    if len(templates) > 1:
        found.append("One policy has a chat template and another has none: they did not read the same prompts.")
    return found
