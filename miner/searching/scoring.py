"""The rewards that searches are told: a ranking of all texts, and the exact rewards of those that lead."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from attacks import Score
from corpus.records import Prompt, ScoredQuery
from miner.errors import ModelError, TooLongError
from miner.rewards.base import Pair
from miner.searching.confirmation import Rewards
from miner.searching.oracle import Oracle

LEADERS = 2  # texts of a query whose exact rewards its search is told, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """The texts of one ``Score`` query that are paid for, and the prompts that each is scored on.

    ``known`` has the exact rewards that its attempt was told before.
    """

    query: Score
    texts: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    known: Mapping[Pair, float]

    @property
    def pairs(self) -> list[Pair]:
        """Every text on every prompt, the prompts of a text side by side."""
        return [Pair(prompt.conversation, text) for text in self.texts for prompt in self.prompts]

    @property
    def is_whole(self) -> bool:
        """Whether all that was asked for is paid for."""
        return len(self.texts) == len(self.query.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """``rewards`` are (n_texts, n_prompts): −∞ for what was not scored, NaN where the RM gave none.

    ``exact`` has those that are exact; ``error`` says why nothing could be scored.
    """

    request: ScoreRequest
    rewards: Rewards
    exact: Mapping[Pair, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None

    @property
    def pairs_scored(self) -> list[Pair]:
        """What costs queries."""
        was_scored = ~np.isneginf(self.rewards.ravel())
        return [pair for pair, was in zip(self.request.pairs, was_scored, strict=True) if was]

    def rows(self, attempt_id: str, rm_fingerprint: str, before: int) -> tuple[ScoredQuery, ...]:
        """The texts with a reward as rows, numbered on from ``before``."""
        asked = [(text, prompt.prompt_id) for text in self.request.texts for prompt in self.request.prompts]
        both = zip(asked, map(float, self.rewards.ravel()), strict=True)
        return tuple(
            ScoredQuery(
                attempt_id=attempt_id,
                prompt_id=prompt_id,
                ordinal=before + n,
                response=text,
                reward=reward,
                rm_fingerprint=rm_fingerprint,
            )
            for n, ((text, prompt_id), reward) in enumerate((one for one in both if np.isfinite(one[1])), start=1)
        )


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Scores the requests of many searches at once."""

    oracle: Oracle

    def scored(self, requests: Sequence[ScoreRequest]) -> list[Scored]:
        """Each request's rewards, in order; where one text cannot be scored, request by request."""
        started = time.perf_counter()
        pairs = [request.pairs for request in requests]
        ranked = [n for n, part in enumerate(pairs) if len(part) > self._n_leaders]
        parts = [np.full(len(part), np.inf) for part in pairs]  # what is not ranked leads, and is scored exactly
        exact: list[dict[Pair, float]] = [{} for _ in requests]
        try:
            for n, rewards in zip(ranked, self.oracle.score_each([pairs[n] for n in ranked]), strict=True):
                parts[n] = rewards
            self._refine(requests, pairs, parts, exact)
        except (TooLongError, ModelError) as error:
            if len(requests) > 1:
                return [one for request in requests for one in self.scored([request])]
            return [self._scored_where_fitting(requests[0], error)]
        seconds = (time.perf_counter() - started) / sum(map(len, pairs)) if pairs else 0.0
        return [
            Scored(
                request=request,
                rewards=part.reshape(len(request.texts), -1),
                exact=of_request,
                seconds=seconds * len(part),
            )
            for request, part, of_request in zip(requests, parts, exact, strict=True)
        ]

    @property
    def _n_leaders(self) -> int:
        """How many texts of a query are scored exactly, at least; a query of no more is not ranked at all."""
        rm = self.oracle.rm
        return 0 if rm.ranking_dtype == rm.reward_dtype and rm.batch_invariant else LEADERS

    def _refine(
        self,
        requests: Sequence[ScoreRequest],
        pairs: Sequence[Sequence[Pair]],
        parts: Sequence[Rewards],
        exact: Sequence[dict[Pair, float]],
    ) -> None:
        """Put the exact rewards of each query's leaders in place of their ranking rewards, until the best is exact.

        The best of many noisy scores is mostly lucky, and a search that believes it can no longer climb past it.
        """
        for _ in range(max(map(len, parts), default=0) if self._n_leaders else 0):
            leaders = [
                (n, int(i))
                for n, part in enumerate(parts)
                for i in np.argsort(-part, kind="stable")[: self._n_leaders]
                if pairs[n][i] not in exact[n] and not np.isneginf(part[i])
            ]
            leaders = [(n, i) for n, i in leaders if len(exact[n]) < self._n_leaders or i == _best(parts[n])]
            if not leaders:
                return
            known = [requests[n].known.get(pairs[n][i]) for n, i in leaders]
            unknown = [pairs[n][i] for (n, i), reward in zip(leaders, known, strict=True) if reward is None]
            fresh = iter(map(float, self.oracle.rm.exact_rewards(unknown)) if unknown else ())
            for (n, i), reward in zip(leaders, known, strict=True):
                parts[n][i] = exact[n][pairs[n][i]] = next(fresh) if reward is None else reward

    def _scored_where_fitting(self, request: ScoreRequest, error: TooLongError | ModelError) -> Scored:
        """The request's rewards with minus infinity, which costs nothing, for texts that the RM does not take."""
        started = time.perf_counter()
        pairs = request.pairs
        fitting = np.array([self.oracle.rm.takes(pair) for pair in pairs])
        rewards = np.full(len(pairs), -np.inf)
        message = None if fitting.any() else str(error)
        if message is None:
            (rewards[fitting],) = self.oracle.score_each([[p for p, fits in zip(pairs, fitting, strict=True) if fits]])
        exact: dict[Pair, float] = {}
        self._refine([request], [pairs], [rewards], [exact])
        return Scored(
            request=request,
            rewards=rewards.reshape(len(request.texts), -1),
            exact=exact,
            seconds=time.perf_counter() - started,
            error=message,
        )


def _best(part: Rewards) -> int:
    return int(np.argsort(-part, kind="stable")[0])
