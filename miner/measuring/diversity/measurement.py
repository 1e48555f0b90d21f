"""The statistics of sets of texts, with intervals, and their paired change since the first side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from miner.errors import ConfigError
from miner.judging.overlap import words
from miner.measuring.diversity.modes import cosine_distances, mean_cosine, mode_labels, silhouette, top_mode_share
from miner.measuring.diversity.report import Change, Metric
from miner.measuring.diversity.response_sets import (
    MIN_SETS,
    MIN_TEXTS,
    ResponseSets,
    Scope,
    TextSet,
    sets_across,
    sets_within,
)
from miner.measuring.diversity.texts import distinct, n_gram_counts, self_bleu
from miner.statistics import mean, paired_difference

ORDERS = (1, 2, 3)
MIN_SHARE = 0.9  # share of the sets that hold the n-grams which distinct-n draws

Vectors = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetValue:
    """One statistic of one set."""

    name: str
    scope: Scope
    key: str
    group: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Texts a set, the same for all sides (None: no side has such sets), and n-grams drawn of each set, by order."""

    within: int | None
    across: int | None
    draws: dict[int, int]


def sizes_for(sides: Sequence[ResponseSets], samples: int, *, seed: int) -> Sizes:
    """The largest sizes up to ``samples`` at which every side has enough sets.

    Raises:
        ConfigError: a side has too few texts for any interval.
    """
    within = min(_most_within(side, samples) for side in sides)
    across = min(min(samples, len(side.written) // MIN_SETS) for side in sides)
    usable = [size if size >= MIN_TEXTS else None for size in (within, across)]
    if usable == [None, None]:
        least = min(sides, key=lambda side: len(side.written))
        raise ConfigError(
            f"{least.label}: {len(least.texts)} texts on {len(least.written)} prompts are too few for an interval; "
            f"expected {MIN_TEXTS} texts for each of {MIN_SETS} prompts, or {MIN_SETS * MIN_TEXTS} prompts. "
            "Give more: --samples, --prompts or more texts"
        )
    found = Sizes(within=usable[0], across=usable[1], draws={})
    sets = [one for side in sides for _, one in scoped_sets(side, found, seed=seed)]
    return Sizes(within=usable[0], across=usable[1], draws={n: _draw(sets, n) for n in ORDERS})


def scoped_sets(side: ResponseSets, sizes: Sizes, *, seed: int) -> list[tuple[Scope, TextSet]]:
    within = sets_within(side, sizes.within) if sizes.within else []
    across = sets_across(side, sizes.across, seed=seed) if sizes.across else []
    return [*(("within", one) for one in within), *(("across", one) for one in across)]


def set_values(
    side: ResponseSets, vectors: Vectors, sizes: Sizes, *, mode_distance: float, seed: int
) -> list[SetValue]:
    """Every statistic of every set of a side; what a set cannot have is left out."""
    found = []
    for scope, one in scoped_sets(side, sizes, seed=seed):
        values = {
            **_of_words([words(text) for text in one.texts], sizes.draws),
            **_of_vectors(np.array([vectors[text] for text in one.texts]), mode_distance),
        }
        found += [
            SetValue(name=name, scope=scope, key=one.key, group=one.group, value=value)
            for name, value in values.items()
            if value is not None
        ]
    return found


def metrics(values: Sequence[SetValue], *, seed: int) -> list[Metric]:
    """The mean of each statistic in each scope; one with too few sets for an interval is left out."""
    return [
        Metric(
            name=name,
            scope=scope,
            mean=mean([one.value for one in part], groups=[one.group for one in part], seed=seed),
        )
        for (name, scope), part in _by_statistic(values).items()
        if len({one.group for one in part}) >= MIN_SETS
    ]


def changes(values: Sequence[SetValue], first: Sequence[SetValue], *, seed: int) -> list[Change]:
    """Each statistic minus the first side's, over the sets that both have it on."""
    before = {(one.name, one.scope, one.key): one.value for one in first}
    found = []
    for (name, scope), part in _by_statistic(values).items():
        pairs = [(one, before[name, scope, one.key]) for one in part if (name, scope, one.key) in before]
        if len({one.group for one, _ in pairs}) >= MIN_SETS:
            difference = paired_difference(
                [one.value for one, _ in pairs],
                [value for _, value in pairs],
                groups=[one.group for one, _ in pairs],
                seed=seed,
            )
            found.append(Change(name=name, scope=scope, difference=difference))
    return found


def _of_words(texts: Sequence[Sequence[str]], draws: Mapping[int, int]) -> dict[str, float | None]:
    counts = {f"distinct_{n}": distinct(n_gram_counts(texts, n), draw) for n, draw in draws.items()}
    return {**counts, "self_bleu": self_bleu(texts)}


def _of_vectors(vectors: npt.NDArray[np.float64], mode_distance: float) -> dict[str, float | None]:
    distances = cosine_distances(vectors)
    labels = mode_labels(distances, mode_distance)
    return {
        "cosine": mean_cosine(distances),
        "modes": float(labels.max()),
        "silhouette": silhouette(distances, labels),
        "top_mode": top_mode_share(labels),
    }


def _by_statistic(values: Sequence[SetValue]) -> dict[tuple[str, Scope], list[SetValue]]:
    found: dict[tuple[str, Scope], list[SetValue]] = {}
    for one in values:
        found.setdefault((one.name, one.scope), []).append(one)
    return found


def _most_within(side: ResponseSets, samples: int) -> int:
    """The largest set that enough prompts of a side can fill."""
    lengths = sorted((len(one.responses) for one in side.written), reverse=True)
    return 0 if len(lengths) < MIN_SETS else min(samples, lengths[max(MIN_SETS, len(lengths) // 2) - 1])


def _draw(sets: Sequence[TextSet], n: int) -> int:
    """How many n-grams nine of ten sets hold at least; 0 where there are none to speak of."""
    totals = [n_gram_counts([words(text) for text in one.texts], n).total() for one in sets]
    return int(np.quantile(totals, 1 - MIN_SHARE, method="lower"))
