"""Answers the queries of all live searches: pools what can share a batch, scores each text once a pool."""

from __future__ import annotations

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
    Carried,
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
    SurrogateSwaps,
    Swap,
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
    from miner.language_models.policies import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedTexts:
    """Texts for one prompt that were carried along from an older RM, furthest first, and what that took."""

    prompt_id: str
    texts: tuple[str, ...]
    queries: int = 0
    gradients: int = 0
    flops: float = 0.0
    seconds: float = 0.0


def require_answerable(attack: Attack, rm: RewardModel, *, has_policy: bool) -> None:
    """Refuse an attack whose queries this RM, with a policy or without, cannot answer.

    Raises:
        CapabilityError: it names what is missing and what to try.
    """
    if attack.library and find_spec(attack.library) is None:
        raise CapabilityError(
            f"attack {attack.name!r} needs the library {attack.library}. Install it: pip install {attack.library}"
        )
    for need in attack.needs:
        if issubclass(need, GradientQuery) and not rm.has_gradients:
            raise CapabilityError(
                f"attack {attack.name!r} needs token gradients; {rm.name} only scores. Try: --attack random"
            )
        if issubclass(need, PolicyQuery) and not has_policy:
            raise CapabilityError(f"attack {attack.name!r} asks a policy; give one: --policy FOLDER")
        if need not in ANSWERED:
            raise CapabilityError(f"attack {attack.name!r} asks {need.__name__} queries, which nothing here answers")


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """One RM, perhaps a policy, and texts for searches that start from some: good answers by split, and findings.

    ``seeds`` are (prompt_id, response), best first; ``carried`` is by prompt_id. ``surrogate`` is the RM as given,
    where a search wants its gradient.
    """

    rm: RewardModel
    policy: Policy | None = None
    answers: Mapping[Split, Sequence[tuple[str, str]]] = field(default_factory=dict)  # (prompt_id, reference)
    seeds: Sequence[tuple[str, str]] = ()
    carried: Mapping[str, CarriedTexts] = field(default_factory=dict)
    surrogate: RewardModel | None = None
    max_new_tokens: int = 48

    def require(self, attack: Attack) -> None:
        """Refuse an attack whose queries cannot be answered. Errors as ``require_answerable``."""
        require_answerable(attack, self.rm, has_policy=self.policy is not None)
        if SurrogateSwaps in attack.needs and self.surrogate is None:
            raise CapabilityError(f"attack {attack.name!r} needs the RM before its patch: it is for patched RMs")

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """Ranking rewards, shape (n_pairs,); equal pairs are scored once."""
        unique = list(dict.fromkeys(pairs))
        of_pair = dict(zip(unique, self.rm.rewards(unique), strict=True))
        return np.array([of_pair[pair] for pair in pairs])

    def score_each(self, parts: Sequence[Sequence[Pair]]) -> list[npt.NDArray[np.float64]]:
        """``score`` of each search's pairs: all of them together where that changes nothing, else each in its own.

        An attempt is what its plan says, whichever others run beside it.
        """
        pairs = [pair for part in parts for pair in part]
        if self.rm.batch_invariant:
            rewards = self.score(pairs)
            return np.split(rewards, np.cumsum([len(part) for part in parts])[:-1]) if parts else []
        return self.rm.rewards_apart(parts)

    def by_gradient(self, asked: Sequence[tuple[GradientQuery[Any], Sequence[Prompt]]]) -> list[Any]:
        """The answers to gradient queries of several searches, those of a kind pooled."""
        answers: dict[int, Any] = {}
        for kind, pooled in POOLED.items():
            of_kind = [at for at, (query, _) in enumerate(asked) if isinstance(query, kind)]
            if of_kind:
                rm = self.surrogate if kind is SurrogateSwaps else self.rm
                assert rm is not None, "require() has seen to it"
                answers.update(zip(of_kind, pooled(rm, [asked[at] for at in of_kind]), strict=True))
        return [answers[at] for at in range(len(asked))]

    def by_policy(self, query: PolicyQuery[Any], prompts: Sequence[Prompt]) -> tuple[Any, int, tuple[str, ...]]:
        """The answer, the tokens that the policy read or wrote for it, and the texts that it wrote itself."""
        assert self.policy is not None
        found = WRITTEN[type(query)](self.policy, query, prompts[0].conversation, self.max_new_tokens)
        return found.answer, found.policy_tokens, found.texts

    def answer_free(self, query: Query[Any], prompts: Sequence[Prompt]) -> Any:
        """The answer to a query that costs nothing."""
        if type(query) not in FREE:
            raise CapabilityError(f"no such query here: {type(query).__name__}")
        return FREE[type(query)](self, query, prompts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A policy's answer, the tokens that it read or wrote for it, and the texts that it wrote itself."""

    answer: Any
    policy_tokens: int
    texts: tuple[str, ...] = ()


def _swaps(rm: RewardModel, asked: Sequence[tuple[Swaps, Sequence[Prompt]]]) -> list[SwapTable]:
    """One backward pass over the terms of all searches."""
    return rm.swaps(
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


def _surrogate_swaps(rm: RewardModel, asked: Sequence[tuple[SurrogateSwaps, Sequence[Prompt]]]) -> list[SwapTable]:
    return _swaps(rm, [(Swaps(query.text, query.k), prompts) for query, prompts in asked])


def _attributions(rm: RewardModel, asked: Sequence[tuple[Attribute, Sequence[Prompt]]]) -> list[tuple[Share, ...]]:
    return [rm.attributions(Pair(prompts[0].conversation, query.text), query.steps) for query, prompts in asked]


def _relaxed(rm: RewardModel, asked: Sequence[tuple[Relax, Sequence[Prompt]]]) -> list[tuple[str, ...]]:
    return rm.relax(
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


def _likelihoods(policy: Policy, query: Likelihoods, _prompt: Conversation, _max_new_tokens: int) -> Written:
    nll = policy.token_nll(query.texts)
    means = np.array([-one.mean() if len(one) else -np.inf for one in nll])
    return Written(answer=means, policy_tokens=sum(map(len, nll)))


def _next_tokens(policy: Policy, query: NextTokens, prompt: Conversation, _max_new_tokens: int) -> Written:
    answer, tokens = policy.next_tokens(prompt, query.prefixes, query.k)
    return Written(answer=answer, policy_tokens=tokens, texts=_texts(one for row in answer for one in row))


def _sample(policy: Policy, query: Sample, prompt: Conversation, max_new_tokens: int) -> Written:
    samples = policy.sample(prompt, query.n, seed=query.seed, max_new_tokens=max_new_tokens)
    found = samples.continuations
    return Written(answer=found, policy_tokens=samples.policy_tokens, texts=_texts(found))


def _random_swaps(oracle: Oracle, query: RandomSwaps, prompts: Sequence[Prompt]) -> tuple[Swap, ...]:
    pair = Pair(prompts[0].conversation, query.text)
    return oracle.rm.random_swaps(pair, query.n, np.random.default_rng(query.seed))


def _words(oracle: Oracle, query: Words, _prompts: Sequence[Prompt]) -> tuple[str, ...]:
    return oracle.rm.words(query.n, np.random.default_rng(query.seed))


def _all_tokens(oracle: Oracle, _query: AllTokens, _prompts: Sequence[Prompt]) -> tuple[str, ...]:
    return oracle.rm.all_tokens()


def _tasks(_oracle: Oracle, _query: Tasks, prompts: Sequence[Prompt]) -> tuple[Task, ...]:
    return tuple(Task(last_user_turn(prompt.conversation), prompt.reference) for prompt in prompts)


def _answers(oracle: Oracle, query: Answers, prompts: Sequence[Prompt]) -> tuple[str, ...]:
    own = {prompt.prompt_id for prompt in prompts}
    pool = [text for prompt_id, text in oracle.answers.get(prompts[0].split, ()) if prompt_id not in own]
    picks = np.random.default_rng(query.seed).permutation(len(pool))[: query.n]
    return tuple(pool[i] for i in picks)


def _seeds(oracle: Oracle, query: Seeds, prompts: Sequence[Prompt]) -> tuple[str, ...]:
    own = {prompt.prompt_id for prompt in prompts}
    return tuple(dict.fromkeys(text for prompt_id, text in oracle.seeds if prompt_id not in own))[: query.n]


POOLED: Mapping[type, Callable[[RewardModel, Sequence[Any]], Sequence[Any]]] = {
    Swaps: _swaps,
    SurrogateSwaps: _surrogate_swaps,
    Attribute: _attributions,
    Relax: _relaxed,
}
WRITTEN: Mapping[type, Callable[[Policy, Any, Conversation, int], Written]] = {
    Likelihoods: _likelihoods,
    NextTokens: _next_tokens,
    Sample: _sample,
}
FREE: Mapping[type, Callable[[Oracle, Any, Sequence[Prompt]], Any]] = {
    RandomSwaps: _random_swaps,
    Words: _words,
    AllTokens: _all_tokens,
    Tasks: _tasks,
    Answers: _answers,
    Seeds: _seeds,
}
"""What answers each type of query: pooled by the RM, one by one by the policy, and at no cost. ``Score`` is no row, it
is what a budget is spent on, nor ``Carried``, which is booked with what it took."""

ANSWERED = (*FREE, *POOLED, *WRITTEN, Carried)


def _texts(continuations: Iterable[Continuation]) -> tuple[str, ...]:
    return tuple(one.text for one in continuations)


def last_user_turn(conversation: Conversation) -> str:
    return next((turn.content for turn in reversed(conversation) if turn.role == "user"), "")
