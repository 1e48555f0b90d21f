"""Findings in groups of one cause: average linkage on how much of their features they share.

The likeness of two findings is the weighted Jaccard similarity of their features, times ``OTHER_FORM`` where their
forms differ. Groups are merged while the mean likeness between them is at least ``threshold``: so a group can be
explained by what its members share, and one odd finding cannot chain two groups together. Average linkage never merges
across pairs that are all less alike than that, so it runs inside the connected parts of the graph of pairs that are at
least so alike; these are found with a sparse product over shared features, not by a loop over pairs. Equal causes count
once there, which keeps parts small; one that is still larger than ``MAX_PART`` is a group as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.cluster import hierarchy
from scipy.sparse import csgraph

from corpus.records import digest
from miner.measuring.triage.causes import Cause, Rarity

THRESHOLD = 0.5  # set on planted causes of seeds 100 to 104, measured on others: scripts/bench_triage
OTHER_FORM = 0.85
MAX_PART = 4000  # different causes in one part: their distances take 64 MB
ROWS_AT_ONCE = 512

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Findings of one cause, by id; ``cause`` are the features that at least half of them have."""

    group: str
    finding_ids: tuple[str, ...]
    cause: tuple[str, ...]


def grouped(causes: Sequence[Cause], rarity: Rarity, *, threshold: float = THRESHOLD) -> list[Group]:
    """The groups, largest first. The order of ``causes`` changes nothing."""
    same: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    for cause in causes:
        same[tuple(sorted(cause.features)), cause.form].append(cause.finding_id)
    kinds = sorted(same)
    features = [frozenset(kind[0]) for kind in kinds]
    labels = _labels(features, [kind[1] for kind in kinds], rarity, threshold)
    members: dict[int, list[int]] = defaultdict(list)
    for at, label in enumerate(labels):
        members[label].append(at)
    groups = []
    for places in members.values():
        ids = sorted(one for at in places for one in same[kinds[at]])
        shared = _shared([(features[at], len(same[kinds[at]])) for at in places], rarity)
        groups.append(Group(group=digest(ids)[:12], finding_ids=tuple(ids), cause=shared))
    return sorted(groups, key=lambda group: (-len(group.finding_ids), group.group))


def _labels(features: Sequence[frozenset[str]], forms: Sequence[str], rarity: Rarity, least: float) -> list[int]:
    """One group number per kind of cause."""
    names = sorted(set().union(*features))
    place = {name: at for at, name in enumerate(names)}
    rows = [at for at, one in enumerate(features) for _ in one]
    columns = [place[name] for one in features for name in sorted(one)]
    has = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(features), len(names)))
    weights = np.array([rarity.weight(name) for name in names])
    form = np.unique(np.array(forms), return_inverse=True)[1] if forms else np.empty(0, dtype=np.int64)
    part = _parts(has, weights, form, least)
    labels, n_labels = np.zeros(len(features), dtype=np.int64), 0
    for number in range(part.max(initial=-1) + 1):
        places = np.flatnonzero(part == number)
        inner = np.zeros(len(places), dtype=np.int64)
        if 1 < len(places) <= MAX_PART:
            like = _likeness(has[places], has[places], weights, form[places], form[places])
            inner = _linked(1 - like, 1 - least)
        labels[places] = n_labels + inner
        n_labels += int(inner.max()) + 1
    return [int(label) for label in labels]


def _parts(has: sparse.csr_array, weights: Floats, form: npt.NDArray[np.int64], least: float) -> npt.NDArray[np.int64]:
    """The connected part of every row, over pairs that are at least so alike."""
    n = has.shape[0]
    part: npt.NDArray[np.int64] = np.arange(n, dtype=np.int64)
    for start in range(0, n, ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, n))
        first, second = np.nonzero(_likeness(has[rows], has, weights, form[rows], form) >= least)
        linked = np.concatenate([np.arange(n), rows[first]]), np.concatenate([part, second])
        graph = sparse.coo_array((np.ones(len(linked[0]), dtype=bool), linked), shape=(n, n))
        number = csgraph.connected_components(graph, directed=False)[1]
        part = np.unique(number, return_index=True)[1][
            number
        ]  # by the first of its rows, so that it links them next time
    return np.unique(part, return_inverse=True)[1]


def _likeness(
    some: sparse.csr_array,
    all_: sparse.csr_array,
    weights: Floats,
    some_form: npt.NDArray[np.int64],
    form: npt.NDArray[np.int64],
) -> Floats:
    """Likeness of every row of ``some`` to every one of ``all_``: (n_some, n_all)."""
    shared = ((some * weights) @ all_.T).toarray()
    either = (some @ weights)[:, None] + (all_ @ weights)[None, :] - shared
    likeness: Floats = shared / np.maximum(either, 1e-12)
    return likeness * np.where(some_form[:, None] == form[None, :], 1.0, OTHER_FORM)


def _linked(distance: Floats, at_most: float) -> npt.NDArray[np.int64]:
    """Average linkage of kinds of cause, each counted once."""
    condensed = distance[np.triu_indices(len(distance), k=1)]
    tree = hierarchy.average(condensed.clip(0))
    return np.asarray(hierarchy.fcluster(tree, at_most + 1e-9, criterion="distance"), dtype=np.int64) - 1


def _shared(features: Sequence[tuple[frozenset[str], int]], rarity: Rarity) -> tuple[str, ...]:
    """What at least half of the findings have, the weightiest first."""
    total = sum(n for _, n in features)
    counts: dict[str, int] = defaultdict(int)
    for one, n in features:
        for feature in one:
            counts[feature] += n
    common = [feature for feature, n in counts.items() if 2 * n >= total]
    return tuple(sorted(common, key=lambda feature: (-rarity.weight(feature), feature)))
