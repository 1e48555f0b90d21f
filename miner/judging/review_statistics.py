"""How far people's verdicts can be trusted, and what they say of the certificate once their own errors are taken out.

Controls, clean answers and planted nonsense, measure every reviewer. With a share q of findings called nonsense, s of
planted nonsense and a of clean answers, the share that is nonsense is (q − a) / (s − a) (Rogan & Gladen 1978). Its
interval is that of a Bayesian bootstrap over clusters of items, with Jeffreys' prior on every share: all three vary,
reviewers of one item vary together, and a share of 0 or 1 is not taken for certain.

A reviewer is flagged where the controls show both: that they are no better than a coin (Fisher's exact test does not
say otherwise) and that they are no honest reviewer (the 95 % interval of s − a, Newcombe's 1998 from Wilson's, ends
below ``APART``). Few controls show neither; then the verdicts are kept.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from miner.statistics import BLOCK_ENTRIES, Mean, Rate, cluster_bootstrap, percentile_interval, rate

Floats = npt.NDArray[np.float64]

MIN_CONTROLS = 20  # before a reviewer can be flagged
CHANCE = 0.001  # one in so many coins passes for a reviewer
APART = 0.5  # by which an honest reviewer calls planted nonsense so more often than clean answers, at least
DRAWS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A reviewer's verdict on an item; ``expected`` is what a control is known to be."""

    reviewer: str
    item: str
    verdict: str
    expected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewerErrors:
    """A reviewer measured on controls: how much planted nonsense they see, and how many clean answers they convict.

    ``flagged``: they answer as a coin, and as no honest reviewer. ``too_few``: there are too few controls to tell.
    """

    reviewer: str
    judged: int
    hits: Rate | None
    false_alarms: Rate | None
    flagged: bool
    too_few: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatePrecision:
    """The share of findings that is nonsense, ``n`` of them judged, with its 95 % interval.

    ``said`` is the share as the reviewers called it. ``corrected``: their errors were measured and are taken out.
    """

    value: float
    n: int
    low: float
    high: float
    said: float
    corrected: bool

    @property
    def width(self) -> float:
        return self.high - self.low


def reviewer_errors(judgements: Sequence[Judgement]) -> list[ReviewerErrors]:
    """Every reviewer with what the controls say of them, by name."""
    return [_errors(name, [one for one in judgements if one.reviewer == name])
            for name in sorted({one.reviewer for one in judgements})]  # fmt: skip


def _errors(reviewer: str, given: Sequence[Judgement]) -> ReviewerErrors:
    planted, clean = (
        [one.verdict == "nonsense" for one in given if one.expected == kind] for kind in ("nonsense", "sensible")
    )
    table = np.array([[sum(planted), len(planted) - sum(planted)], [sum(clean), len(clean) - sum(clean)]])
    hits, alarms = (rate(called) if called else None for called in (planted, clean))
    coin = bool(stats.fisher_exact(table, alternative="greater").pvalue > CHANCE)
    enough = len(planted) + len(clean) >= MIN_CONTROLS
    flagged = bool(coin and enough and hits and alarms and _most_apart(hits, alarms) < APART)
    return ReviewerErrors(
        reviewer=reviewer,
        judged=sum(one.expected is None for one in given),
        hits=hits,
        false_alarms=alarms,
        flagged=flagged,
        too_few=coin and not flagged,
    )


def _most_apart(hits: Rate, alarms: Rate) -> float:
    """The upper end of the 95 % interval of their difference (Newcombe 1998, method 10)."""
    return hits.value - alarms.value + math.hypot(hits.high - hits.value, alarms.value - alarms.low)


def precision(
    judgements: Sequence[Judgement],
    *,
    items: Sequence[str] | None = None,
    clusters: Mapping[str, Hashable] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> CertificatePrecision | None:
    """Of the findings that were judged (of ``items`` alone, if given), the share that is nonsense.

    ``clusters`` names what items are drawn together with (their prompt). Flagged reviewers are left out; None where
    nobody else judged any. Reviewers are weighted by how many they judged and how well they tell controls apart.
    """
    flagged = {one.reviewer for one in reviewer_errors(judgements) if one.flagged}
    counted = [one for one in judgements if one.reviewer not in flagged]
    wanted = None if items is None else set(items)
    asked = [one for one in counted if one.expected is None and (wanted is None or one.item in wanted)]
    if not asked:
        return None
    reviewers = sorted({one.reviewer for one in asked})
    rng, groups = np.random.default_rng(seed), clusters or {}
    shares = [
        _Shares.of([one for one in part if one.reviewer in reviewers], reviewers, groups, rng, draws)
        for part in (
            asked,
            [one for one in counted if one.expected == "nonsense"],
            [one for one in counted if one.expected == "sensible"],
        )
    ]
    return _corrected(shares, len({one.item for one in asked}))


@dataclass(frozen=True, slots=True)
class _Shares:
    """Per reviewer the share called nonsense, how many were judged, and draws of the share: (draws, n_reviewers)."""

    value: Floats
    n: Floats
    drawn: Floats

    @classmethod
    def of(
        cls,
        given: Sequence[Judgement],
        reviewers: Sequence[str],
        clusters: Mapping[str, Hashable],
        rng: np.random.Generator,
        draws: int,
    ) -> _Shares:
        numbers: dict[Hashable, int] = {}
        row = np.array([numbers.setdefault(clusters.get(one.item, one.item), len(numbers)) for one in given], int)
        column = np.array([reviewers.index(one.reviewer) for one in given], int)
        yes, n = (np.zeros((len(numbers), len(reviewers))) for _ in range(2))
        np.add.at(yes, (row, column), [float(one.verdict == "nonsense") for one in given])
        np.add.at(n, (row, column), 1.0)
        prior = rng.gamma(0.5, size=(2, draws, len(reviewers)))
        top, bottom = prior[0], prior.sum(0)
        block = max(1, BLOCK_ENTRIES // max(1, len(numbers)))
        for start in range(0, draws, block):
            weights = rng.gamma(1.0, size=(min(block, draws - start), len(numbers)))
            top[start : start + block] += weights @ yes
            bottom[start : start + block] += weights @ n
        return cls(_share(yes.sum(0), n.sum(0)), n.sum(0), top / bottom)


def _share(yes: Floats, n: Floats) -> Floats:
    return np.where(n > 0, yes / np.maximum(n, 1), (yes + 0.5) / (n + 1))


def _corrected(shares: Sequence[_Shares], n: int) -> CertificatePrecision:
    asked, planted, clean = shares
    known = (planted.n > 0) & (clean.n > 0) & (planted.value > clean.value)
    said = float((asked.value * asked.n).sum() / asked.n.sum())
    if not known.any():
        weights = asked.n / asked.n.sum()
        low, high = percentile_interval(asked.drawn @ weights)
        return CertificatePrecision(value=said, n=n, low=float(low), high=float(high), said=said, corrected=False)
    apart = np.where(known, planted.value - clean.value, 0.0)
    weights = asked.n * apart**2
    weights /= weights.sum()
    value = float(np.clip(((asked.value - clean.value) / np.where(known, apart, 1.0)) @ weights, 0, 1))
    gap = np.maximum(planted.drawn - clean.drawn, 1e-3)
    low, high = percentile_interval(np.clip(((asked.drawn - clean.drawn) / gap) @ weights, 0, 1))
    return CertificatePrecision(
        value=value, n=n, low=min(float(low), value), high=max(float(high), value), said=said, corrected=True
    )


def krippendorff_alpha(
    answers: Sequence[tuple[Hashable, float | str]], *, numeric: bool = False, seed: int = 0
) -> Mean | None:
    """Krippendorff's α of (item, answer) pairs, several of an item being several reviewers', with a bootstrap interval
    over items: 1 is agreement, 0 what chance gives. Answers are names, or with ``numeric`` numbers whose squared
    distance counts.

    None where fewer than two items have two answers, or all answers are the same: then there is nothing to agree on.
    """
    values = sorted({answer for _, answer in answers}, key=str)
    rows: dict[Hashable, Floats] = {}
    for item, answer in answers:
        rows.setdefault(item, np.zeros(len(values)))[values.index(answer)] += 1
    counts = np.array([row for row in rows.values() if row.sum() > 1])
    if len(counts) < 2 or len(values) < 2:
        return None
    scale = np.array(values, dtype=np.float64) if numeric else None
    distance = 1 - np.eye(len(values)) if scale is None else (scale[:, None] - scale) ** 2
    disagreement = ((counts @ distance) * counts).sum(1) / (counts.sum(1) - 1)

    def alpha(weights: Floats) -> float | None:
        total = weights @ counts
        expected = float(total @ distance @ total)
        return 1 - (total.sum() - 1) * float(weights @ disagreement) / expected if expected > 0 else None

    value = alpha(np.ones(len(counts)))
    if value is None:
        return None
    low, high = cluster_bootstrap(alpha, len(counts), seed=seed)
    return Mean(value, len(counts), float(low), float(high))
