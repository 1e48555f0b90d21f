"""Answers the queries of all live searches: pools what can share a batch, scores each text once a pool."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from attacks import AllTokens, Attack, Query, RandomSwaps, Sample, Seeds, Swaps, SwapTable, Task, Tasks, Words
from corpus.records import Conversation, Prompt, Split
from miner.errors import CapabilityError
from miner.rewards.base import Pair, RewardModel, SwapRequest

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
    """One RM, perhaps a policy, and good answers by split for searches that start from text."""

    rm: RewardModel
    policy: LanguageModel | None = None
    answers: Mapping[Split, Sequence[tuple[str, str]]] = field(default_factory=dict)  # (prompt_id, reference)
    max_new_tokens: int = 48
    counts: OracleCounts = field(default_factory=OracleCounts)

    def require(self, attack: Attack) -> None:
        """Refuse an attack whose queries cannot be answered.

        Raises:
            CapabilityError: it names what is missing and what to try.
        """
        if Swaps in attack.needs and not self.rm.has_gradients:
            raise CapabilityError(
                f"attack {attack.name!r} needs token gradients; {self.rm.name} only scores. Try: --attack random"
            )
        if Sample in attack.needs and self.policy is None:
            raise CapabilityError(f"attack {attack.name!r} samples from a policy; give one: --policy FOLDER")
        for need in attack.needs:
            if need not in (Swaps, Sample, *_FREE):
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

    def swaps(self, asked: Sequence[tuple[Swaps, Sequence[Prompt]]]) -> list[SwapTable]:
        """The tables of several searches, one backward pass over all their terms."""
        requests = [
            SwapRequest(
                prompts=tuple(prompts[term.prompt].conversation for term in query.terms),
                weights=tuple(term.weight for term in query.terms),
                response=query.text,
                k=query.k,
            )
            for query, prompts in asked
        ]
        self.counts.gradients += sum(len(request.prompts) for request in requests)
        return self.rm.swaps(requests)

    def answer_free(self, query: Query[Any], prompts: Sequence[Prompt]) -> Any:
        """The answer to a query that costs no scoring (``Sample`` is answered by ``sample``)."""
        if isinstance(query, RandomSwaps):
            pair = Pair(prompts[0].conversation, query.text)
            return self.rm.random_swaps(pair, query.n, np.random.default_rng(query.seed))
        if isinstance(query, Words):
            return self.rm.words(query.n, np.random.default_rng(query.seed))
        if isinstance(query, AllTokens):
            return self.rm.all_tokens()
        if isinstance(query, Tasks):
            return tuple(Task(last_user_turn(prompt.conversation), prompt.reference) for prompt in prompts)
        if isinstance(query, Seeds):
            return self._seeds(query, prompts)
        raise CapabilityError(f"no such query here: {type(query).__name__}")

    def _seeds(self, query: Seeds, prompts: Sequence[Prompt]) -> tuple[str, ...]:
        own = {prompt.prompt_id for prompt in prompts}
        pool = [text for prompt_id, text in self.answers.get(prompts[0].split, ()) if prompt_id not in own]
        picks = np.random.default_rng(query.seed).permutation(len(pool))[: query.n]
        return tuple(pool[i] for i in picks)


_FREE = (RandomSwaps, Words, AllTokens, Tasks, Seeds)


def last_user_turn(conversation: Conversation) -> str:
    return next((turn.content for turn in reversed(conversation) if turn.role == "user"), "")
