"""People's scores as gold of runs that are stored: joined when they are analysed, never written into the runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from miner.errors import DataError
from miner.judging.people_gold import PeoplesScores, read_peoples_scores
from miner.measuring.overopt.log import measured_runs
from miner.measuring.overopt.results import ScoredByPeople
from miner.measuring.overopt.rows import NAN, SampleRow
from miner.statistics import Mean, cluster_bootstrap

MIN_PROMPTS = 5  # for an interval
RESAMPLES = 1000


def read_scores_of(*studies: Path) -> PeoplesScores:
    """What people gave to the answers of these studies, as the corpora beside them hold it.

    Raises:
        DataError: the first holds no answers, or nobody has scored any.
        CorpusError: a corpus cannot be read.
    """
    measured_runs(studies[0])
    return read_peoples_scores(*(one.absolute().parent for one in studies))


def with_peoples_gold(rows: Sequence[SampleRow], people: PeoplesScores) -> list[SampleRow]:
    """``rows`` with people's scores as their gold, NaN where nobody scored the answer."""
    scores = [people.of(row.prompt_id, row.response) for row in rows]
    return [replace(row, gold=NAN if score is None else score) for row, score in zip(rows, scores, strict=True)]


def scored_by_people(rows: Iterable[SampleRow], people: PeoplesScores) -> ScoredByPeople:
    """How much of a study's ``rows`` people scored, and how far they agree: with each other, and with its own gold.

    Raises:
        DataError: they scored none of it.
    """
    stored = {(row.prompt_id, row.response): row.gold for row in rows}
    scored = {key: score for key in sorted(stored) if (score := people.of(*key)) is not None}
    if not scored:
        raise DataError(
            f"none of the {len(people.by_item)} answers that people scored is among the {len(stored)} stored ones. "
            "Score these: rmminer review, on the folder that holds this study"
        )
    return ScoredByPeople(
        n_answers=len(scored),
        n_prompts=len({prompt_id for prompt_id, _ in scored}),
        unmatched=len(people.by_item) - len(scored),
        reviewers=people.reviewers,
        agreement=people.agreement,
        own_gold=_kendall([(prompt_id, score, stored[prompt_id, text]) for (prompt_id, text), score in scored.items()]),
    )


def _kendall(given: Sequence[tuple[str, float, float]]) -> Mean | None:
    """Kendall's τ-b of (prompt, score, own gold), its interval over prompts; None with too few, or nothing to rank."""
    known = [one for one in given if np.isfinite(one[2])]
    prompts = sorted({prompt for prompt, *_ in known})
    if len(prompts) < MIN_PROMPTS:
        return None
    of_prompt = np.array([prompts.index(prompt) for prompt, *_ in known])
    score, own = np.array([[score, own] for _, score, own in known]).T

    def tau(drawn: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
        at = np.repeat(np.arange(len(known)), drawn[of_prompt].astype(int))
        found = float(stats.kendalltau(score[at], own[at]).statistic)
        return found if np.isfinite(found) else None

    value = tau(np.ones(len(prompts)))
    if value is None:
        return None
    low, high = cluster_bootstrap(tau, len(prompts), resamples=RESAMPLES)
    return Mean(value, len(known), float(low), float(high))
