"""People's scores as gold of runs that are stored: joined when they are analysed, never written into the runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from miner.errors import DataError
from miner.measuring.overopt.label_files import AnswerKey, answer_key, read_label_file
from miner.measuring.overopt.measuring import NAN, SampleRow

MIN_SHARED = 8  # answers that two labellers must both have judged before their agreement is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Kendall's τ-b between two labellers over the answers both judged, averaged over ``n_pairs`` pairs of labellers;
    ``n_answers`` were judged by more than one. 1: the same order, 0: no relation."""

    tau: float
    n_pairs: int
    n_answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """How many of a study's answers and prompts labels cover; ``unmatched`` of them fit no answer."""

    n_answers: int
    n_prompts: int
    n_labellers: int
    agreement: Agreement | None
    unmatched: int

    @property
    def text(self) -> str:
        found = f"human labels of {self.n_answers} answers to {self.n_prompts} prompts"
        if self.n_labellers == 1:
            return f"{found}, by one labeller"
        found = f"{found}, by {self.n_labellers} labellers"
        if self.agreement is None:
            return f"{found}, no two of whom share {MIN_SHARED} answers that could show whether they agree"
        pairs = f", mean of {self.agreement.n_pairs} pairs of them" if self.agreement.n_pairs > 1 else ""
        return f"{found}; Kendall's τ-b {self.agreement.tau:.2f} on {self.agreement.n_answers} answers shared{pairs}"

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.unmatched:
            return ()
        return (f"{self.unmatched} labelled answers are not among the stored ones, and count nothing",)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Scores by labeller and answer. One labeller's scores of the same answer were averaged."""

    by_labeller: Mapping[str, Mapping[AnswerKey, float]]

    @property
    def scores(self) -> dict[AnswerKey, float]:
        """The mean over labellers."""
        return _means((answer, score) for given in self.by_labeller.values() for answer, score in given.items())

    def as_gold(self, rows: Sequence[SampleRow]) -> list[SampleRow]:
        """``rows`` with people's scores as their gold, NaN where nobody judged the answer."""
        scores = self.scores
        return [replace(row, gold=scores.get(answer_key(row.prompt_id, row.response), NAN)) for row in rows]

    def on(self, rows: Iterable[SampleRow]) -> Labelled:
        """How far they cover a study's ``rows``.

        Raises:
            DataError: they cover none of them.
        """
        stored = {answer_key(row.prompt_id, row.response) for row in rows}
        scores = self.scores
        if not (matched := stored & scores.keys()):
            raise DataError(
                f"none of the {len(scores)} labelled answers is among the {len(stored)} stored ones; expected rows "
                f"whose prompt_id (such as {min(stored)[0]}) and response are those of a sheet made from these runs: "
                "rmminer overopt --label-sheet"
            )
        return Labelled(
            n_answers=len(matched),
            n_prompts=len({prompt_id for prompt_id, _ in matched}),
            n_labellers=len(self.by_labeller),
            agreement=agreement(self.by_labeller),
            unmatched=len(scores) - len(matched),
        )


def read_labels(paths: Sequence[Path]) -> Labels:
    """The filled sheets of one or more people. Raises: DataError: see ``read_label_file``."""
    given: dict[str, list[tuple[AnswerKey, float]]] = {}
    for label in (label for path in paths for label in read_label_file(path)):
        given.setdefault(label.labeller, []).append((label.answer, label.score))
    return Labels(by_labeller={who: _means(scores) for who, scores in given.items()})


def agreement(by_labeller: Mapping[str, Mapping[AnswerKey, float]]) -> Agreement | None:
    """None where no two labellers have judged ``MIN_SHARED`` answers both, each with more than one score."""
    found, shared = [], set[AnswerKey]()
    for first, second in combinations(by_labeller.values(), 2):
        both = sorted(first.keys() & second.keys())
        if len(both) < MIN_SHARED:
            continue
        tau = float(kendalltau([first[key] for key in both], [second[key] for key in both]).statistic)
        if not math.isnan(tau):
            found.append(tau)
            shared.update(both)
    return Agreement(tau=float(np.mean(found)), n_pairs=len(found), n_answers=len(shared)) if found else None


def _means(scored: Iterable[tuple[AnswerKey, float]]) -> dict[AnswerKey, float]:
    by_answer: dict[AnswerKey, list[float]] = {}
    for answer, score in scored:
        by_answer.setdefault(answer, []).append(score)
    return {answer: float(np.mean(scores)) for answer, scores in by_answer.items()}
