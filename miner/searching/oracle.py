"""Answers the queries of all live searches: pools what can share a batch, scores each text once a pool."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from attacks import (
    AllTokens,
    Answers,
    Attack,
    Attribute,
    Continuation,
    GradientQuery,
    Likelihoods,
    NextTokens,
    PolicyQuery,
    Query,
    RandomSwaps,
    Relax,
    Sample,
    Seeds,
    Share,
    Swaps,
    SwapTable,
    Task,
    Tasks,
    Words,
)
from corpus.records import Conversation, Prompt, Split
from miner.errors import CapabilityError
from miner.rewards.base import Pair, RelaxRequest, RewardModel, SwapRequest

if TYPE_CHECKING:
    from miner.language_models import LanguageModel


@dataclass(slots=True)
class OracleCounts:
    """What scoring has cost so far; ``seconds`` is wall time inside the RM."""

    texts_asked: int = 0
    texts_scored: int = 0
    gradients: int = 0
    seconds: float = 0.0


@dataclass(kw_only=True)
class Oracle:
    """One RM, perhaps a policy, and texts for searches that start from some: good answers by split, and findings.

    ``seeds`` are (prompt_id, response), best first.
    """

    rm: RewardModel
    policy: LanguageModel | None = None
    answers: Mapping[Split, Sequence[tuple[str, str]]] = field(default_factory=dict)  # (prompt_id, reference)
    seeds: Sequence[tuple[str, str]] = ()
    max_new_tokens: int = 48
    counts: OracleCounts = field(default_factory=OracleCounts)

    def require(self, attack: Attack) -> None:
        """Refuse an attack whose queries cannot be answered.

        Raises:
            CapabilityError: it names what is missing and what to try.
        """
        if attack.library and find_spec(attack.library) is None:
            raise CapabilityError(
                f"attack {attack.name!r} needs the library {attack.library}. "
                f"Install it: pip install 'rmminer[{attack.library}]'"
            )
        for need in attack.needs:
            if issubclass(need, GradientQuery) and not self.rm.has_gradients:
                raise CapabilityError(
                    f"attack {attack.name!r} needs token gradients; {self.rm.name} only scores. Try: --attack random"
                )
            if issubclass(need, PolicyQuery) and self.policy is None:
                raise CapabilityError(f"attack {attack.name!r} asks a policy; give one: --policy FOLDER")
            if need not in _ANSWERED:
                raise CapabilityError(
                    f"attack {attack.name!r} asks {need.__name__} queries, which nothing here answers"
                )

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """Ranking rewards, shape (n_pairs,); equal pairs are scored once."""
        started = time.perf_counter()
        unique = list(dict.fromkeys(pairs))
        rewards = self.rm.rewards(unique)
        of_pair = dict(zip(unique, rewards, strict=True))
        self.counts.texts_asked += len(pairs)
        self.counts.texts_scored += len(unique)
        self.counts.seconds += time.perf_counter() - started
        return np.array([of_pair[pair] for pair in pairs])

    def score_each(self, parts: Sequence[Sequence[Pair]]) -> list[npt.NDArray[np.float64]]:
        """``score`` of each search's pairs: all of them together where that changes nothing, else each in its own.

        An attempt is what its plan says, whichever others run beside it.
        """
        pairs = [pair for part in parts for pair in part]
        if self.rm.batch_invariant:
            rewards = self.score(pairs)
            return np.split(rewards, np.cumsum([len(part) for part in parts])[:-1]) if parts else []
        started = time.perf_counter()
        found = self.rm.rewards_apart(parts)
        self.counts.texts_asked += len(pairs)
        self.counts.texts_scored += len(pairs)
        self.counts.seconds += time.perf_counter() - started
        return found

    def by_gradient(self, asked: Sequence[tuple[GradientQuery[Any], Sequence[Prompt]]]) -> list[Any]:
        """The answers to gradient queries of several searches, those of a kind pooled."""
        self.counts.gradients += sum(query.n_gradients for query, _ in asked)
        answers: dict[int, Any] = {}
        kinds: Mapping[type, Callable[[Sequence[Any]], Sequence[Any]]] = {
            Swaps: self._swaps,
            Attribute: self._attributions,
            Relax: self._relaxed,
        }
        for kind, pooled in kinds.items():
            of_kind = [at for at, (query, _) in enumerate(asked) if isinstance(query, kind)]
            if of_kind:
                answers.update(zip(of_kind, pooled([asked[at] for at in of_kind]), strict=True))
        return [answers[at] for at in range(len(asked))]

    def _swaps(self, asked: Sequence[tuple[Swaps, Sequence[Prompt]]]) -> list[SwapTable]:
        """One backward pass over the terms of all searches."""
        return self.rm.swaps(
            [
                SwapRequest(
                    prompts=tuple(prompts[term.prompt].conversation for term in query.terms),
                    weights=tuple(term.weight for term in query.terms),
                    response=query.text,
                    k=query.k,
                )
                for query, prompts in asked
            ]
        )

    def _attributions(self, asked: Sequence[tuple[Attribute, Sequence[Prompt]]]) -> list[tuple[Share, ...]]:
        return [
            self.rm.attributions(Pair(prompts[0].conversation, query.text), query.steps) for query, prompts in asked
        ]

    def _relaxed(self, asked: Sequence[tuple[Relax, Sequence[Prompt]]]) -> list[tuple[str, ...]]:
        return self.rm.relax(
            [
                RelaxRequest(
                    pair=Pair(prompts[0].conversation, query.text),
                    steps=query.steps,
                    readouts=query.readouts,
                    learning_rate=query.learning_rate,
                    temperature=query.temperature,
                    seed=query.seed,
                )
                for query, prompts in asked
            ]
        )

    def by_policy(self, query: PolicyQuery[Any], prompts: Sequence[Prompt]) -> tuple[Any, int, tuple[str, ...]]:
        """The answer, the tokens that the policy read or wrote for it, and the texts that it wrote itself."""
        assert self.policy is not None
        if isinstance(query, Likelihoods):
            nll = self.policy.token_nll(query.texts)
            means = np.array([-one.mean() if len(one) else -np.inf for one in nll])
            return means, sum(map(len, nll)), ()
        asked = prompts[0].conversation
        if isinstance(query, NextTokens):
            answer, tokens = self.policy.next_tokens(asked, query.prefixes, query.k)
            return answer, tokens, _texts(one for row in answer for one in row)
        assert isinstance(query, Sample)
        samples = self.policy.sample(asked, query.n, seed=query.seed, max_new_tokens=self.max_new_tokens)
        return samples.continuations, samples.policy_tokens, _texts(samples.continuations)

    def answer_free(self, query: Query[Any], prompts: Sequence[Prompt]) -> Any:
        """The answer to a query that costs nothing."""
        if isinstance(query, RandomSwaps):
            pair = Pair(prompts[0].conversation, query.text)
            return self.rm.random_swaps(pair, query.n, np.random.default_rng(query.seed))
        if isinstance(query, Words):
            return self.rm.words(query.n, np.random.default_rng(query.seed))
        if isinstance(query, AllTokens):
            return self.rm.all_tokens()
        if isinstance(query, Tasks):
            return tuple(Task(last_user_turn(prompt.conversation), prompt.reference) for prompt in prompts)
        if isinstance(query, Answers):
            return self._answers(query, prompts)
        if isinstance(query, Seeds):
            own = {prompt.prompt_id for prompt in prompts}
            return tuple(dict.fromkeys(text for prompt_id, text in self.seeds if prompt_id not in own))[: query.n]
        raise CapabilityError(f"no such query here: {type(query).__name__}")

    def _answers(self, query: Answers, prompts: Sequence[Prompt]) -> tuple[str, ...]:
        own = {prompt.prompt_id for prompt in prompts}
        pool = [text for prompt_id, text in self.answers.get(prompts[0].split, ()) if prompt_id not in own]
        picks = np.random.default_rng(query.seed).permutation(len(pool))[: query.n]
        return tuple(pool[i] for i in picks)


_FREE = (RandomSwaps, Words, AllTokens, Tasks, Answers, Seeds)
_ANSWERED = (*_FREE, Swaps, Attribute, Relax, Sample, NextTokens, Likelihoods)


def _texts(continuations: Iterable[Continuation]) -> tuple[str, ...]:
    return tuple(one.text for one in continuations)


def last_user_turn(conversation: Conversation) -> str:
    return next((turn.content for turn in reversed(conversation) if turn.role == "user"), "")
