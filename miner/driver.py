"""Runs many searches at once: owns budgets, pooling, confirmation, stopping and recording.

In turns: every live search is brought to a ``Score`` query (its other queries are answered, gradients pooled), then
all texts are scored together. What might win is confirmed from text, alone in its batch, and judged; the search ends at
its first finding. A search that asks for more texts than it can pay for gets those it can scored, and ends.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from attacks import Query, Sample, Score, Swaps
from corpus.records import ScoredQuery, Verdict
from miner.attempts import Conviction, Live, Plan, Result, result_of
from miner.checks import Judge, Subject
from miner.criteria import Criteria
from miner.errors import RmMinerError, TooLongError
from miner.oracle import Oracle
from miner.rewards.base import Pair

Rewards = npt.NDArray[np.float64]

QUERIES_PER_GRADIENT = 3
JUDGED_AT_ONCE = 4
LEADERS = 2  # texts per query whose exact reward the search is told


@dataclass(frozen=True, slots=True)
class _Ask:
    """The texts of one ``Score`` query that are paid for, by prompt and text."""

    live: Live
    query: Score
    texts: tuple[str, ...]

    @property
    def pairs(self) -> list[Pair]:
        prompts = self.live.plan.prompts
        return [Pair(prompt.conversation, text) for text in self.texts for prompt in prompts]


@dataclass(kw_only=True)
class Driver:
    """``in_flight`` searches share each batch; ``keep_queries`` records every scored text."""

    oracle: Oracle
    criteria: Criteria
    judge: Judge
    in_flight: int = 24
    keep_queries: bool = False

    def run(self, plans: Iterable[Plan]) -> Iterator[Result]:
        """The results of ``plans``, each as soon as it has ended.

        Raises:
            CapabilityError: before anything runs that this RM or policy cannot answer.
        """
        waiting = list(plans)
        for attack in {plan.attack for plan in waiting}:
            self.oracle.require(attack)
        waiting.reverse()
        live: list[Live] = []
        while live or waiting:
            live += self._launch([waiting.pop() for _ in range(min(len(waiting), self.in_flight - len(live)))])
            self._turn(live)
            for one in live:
                if one.ended:
                    yield result_of(one, self.oracle.rm, self.criteria)
            live = [one for one in live if not one.ended]

    def _launch(self, plans: Sequence[Plan]) -> list[Live]:
        pairs = [Pair(p.conversation, p.reference) for plan in plans for p in plan.prompts if p.reference is not None]
        pairs = [pair for pair in dict.fromkeys(pairs) if self._takes(pair)]
        reward_of = dict(zip(pairs, self.oracle.rm.exact_rewards(pairs), strict=True)) if pairs else {}
        started = []
        for plan in plans:
            references = tuple(
                None if p.reference is None else reward_of.get(Pair(p.conversation, p.reference), np.nan)
                for p in plan.prompts
            )
            live = Live(plan=plan, search=plan.attack.search(plan.seed), reference_rewards=references)
            if any(reward is not None and np.isnan(reward) for reward in references):
                live.end("error", "the prompt's reference is over the RM's maximum length: nothing to beat")
            else:
                live.start()
            started.append(live)
        return started

    def _turn(self, live: Sequence[Live]) -> None:
        while unready := [one for one in live if not one.ended and not isinstance(one.pending, Score)]:
            self._answer_swaps([one for one in unready if isinstance(one.pending, Swaps)])
            for one in unready:
                if one.pending is not None and not isinstance(one.pending, (Swaps, Score)):
                    self._answer_alone(one, one.pending)
        self._answer_scores([one for one in live if not one.ended])

    def _answer_swaps(self, lives: Sequence[Live]) -> None:
        asked = []
        for one in lives:
            assert isinstance(one.pending, Swaps)
            cost = QUERIES_PER_GRADIENT * len(one.pending.terms)
            if cost > one.left:
                one.end("budget_spent")
                continue
            one.queries += cost
            one.gradients += len(one.pending.terms)
            pair = Pair(one.plan.prompts[0].conversation, one.pending.text)
            one.flops += cost * self.oracle.rm.flops(self.oracle.rm.n_tokens(pair))
            asked.append((one, one.pending))
        if asked:
            started = time.perf_counter()
            tables = self.oracle.swaps([(query, one.plan.prompts) for one, query in asked])
            share = (time.perf_counter() - started) / len(asked)
            for (one, _), table in zip(asked, tables, strict=True):
                one.seconds += share
                one.send(table)

    def _answer_alone(self, one: Live, query: Query[Any]) -> None:
        """Answer what costs no scoring; what cannot be answered ends its own search alone."""
        try:
            if isinstance(query, Sample):
                self._answer_sample(one, query)
            else:
                one.send(self.oracle.answer_free(query, one.plan.prompts))
        except RmMinerError as error:
            one.end("error", str(error))

    def _answer_sample(self, one: Live, query: Sample) -> None:
        assert self.oracle.policy is not None
        started = time.perf_counter()
        samples = self.oracle.policy.sample(
            one.plan.prompts[0].conversation, query.n, seed=query.seed, max_new_tokens=self.oracle.max_new_tokens
        )
        one.policy_tokens += samples.policy_tokens
        one.sampled.update(sample.text for sample in samples.continuations)
        one.seconds += time.perf_counter() - started
        one.send(samples.continuations)

    def _answer_scores(self, lives: Sequence[Live]) -> None:
        asks = []
        for one in lives:
            assert isinstance(one.pending, Score)
            affordable = one.left // len(one.plan.prompts)
            texts = one.pending.texts[:affordable]
            if texts:
                asks.append(_Ask(one, one.pending, texts))
            else:
                one.end("budget_spent")
        for ask, rewards, seconds in self._scored(asks):
            ask.live.seconds += seconds
            self._deliver(ask, rewards.reshape(len(ask.texts), -1))

    def _scored(self, asks: Sequence[_Ask]) -> list[tuple[_Ask, Rewards, float]]:
        """Each query's rewards, all in one batch; where a text is too long, one by one to end only its search."""
        started = time.perf_counter()
        pairs = [ask.pairs for ask in asks]
        try:
            rewards = self.oracle.score([pair for part in pairs for pair in part])
        except TooLongError as error:
            if len(asks) > 1:
                return [row for ask in asks for row in self._scored([ask])]
            return self._scored_where_short_enough(asks[0], error)
        ends = np.cumsum([len(part) for part in pairs])
        parts = np.split(rewards, ends[:-1]) if asks else []
        self._refine(pairs, parts)
        seconds = time.perf_counter() - started
        return [(ask, part, seconds * len(part) / len(rewards)) for ask, part in zip(asks, parts, strict=True)]

    def _scored_where_short_enough(self, ask: _Ask, error: TooLongError) -> list[tuple[_Ask, Rewards, float]]:
        """The query's rewards with minus infinity, which costs nothing, for texts that the RM does not take."""
        started = time.perf_counter()
        short = np.array([self._takes(pair) for pair in ask.pairs])
        if not short.any():
            ask.live.end("error", str(error))
            return []
        rewards = np.full(len(short), -np.inf)
        rewards[short] = self.oracle.score([pair for pair, takes in zip(ask.pairs, short, strict=True) if takes])
        return [(ask, rewards, time.perf_counter() - started)]

    def _takes(self, pair: Pair) -> bool:
        try:
            self.oracle.rm.n_tokens(pair)
        except TooLongError:
            return False
        return True

    def _refine(self, pairs: Sequence[Sequence[Pair]], parts: Sequence[Rewards]) -> None:
        """Put the exact rewards of each query's leaders in place of their ranking rewards.

        The best of many noisy scores is mostly lucky, and a search that believes it can no longer climb past it.
        """
        rm = self.oracle.rm
        if rm.ranking_dtype == rm.reward_dtype:
            return
        leaders = [(n, int(i)) for n, part in enumerate(parts) for i in np.argsort(-part)[:LEADERS]]
        exact = rm.exact_rewards([pairs[n][i] for n, i in leaders])
        for (n, i), reward in zip(leaders, exact, strict=True):
            parts[n][i] = reward

    def _deliver(self, ask: _Ask, rewards: Rewards) -> None:
        """Book, look for a finding, and send the answer: rewards of shape (n_texts, n_prompts)."""
        live, rm = ask.live, self.oracle.rm
        scored = np.isfinite(rewards)
        if self.keep_queries:
            live.scored += self._rows(ask, rewards)
        live.queries += int(scored.sum())
        live.flops += sum(rm.flops(rm.n_tokens(p)) for p, was in zip(ask.pairs, scored.ravel(), strict=True) if was)
        live.best_reward = max(float(rewards.max()), -np.inf if live.best_reward is None else live.best_reward)
        self._look(ask, rewards)
        if live.found:
            live.end("found")
        elif len(ask.texts) < len(ask.query.texts):
            live.end("budget_spent")
        else:
            live.send(rewards)

    def _look(self, ask: _Ask, rewards: Rewards) -> None:
        """Judge and confirm, best first, the texts that may meet a goal this attempt has not met yet."""
        live = ask.live
        order = np.argsort(-rewards, axis=None, kind="stable")
        places = [(int(at) // rewards.shape[1], int(at) % rewards.shape[1]) for at in order]
        waiting = [(i, j) for i, j in places if self._is_plain(ask.texts[i])]
        while not live.found:
            bars = [self._bar(live, prompt) - self.criteria.ranking_tolerance for prompt in range(rewards.shape[1])]
            waiting = [(i, j) for i, j in waiting if rewards[i, j] >= bars[j] and (j, ask.texts[i]) not in live.judged]
            if not waiting:
                return
            self._judge(ask, waiting[:JUDGED_AT_ONCE])

    def _judge(self, ask: _Ask, chosen: Sequence[tuple[int, int]]) -> None:
        live = ask.live
        live.judged.update((j, ask.texts[i]) for i, j in chosen)
        certificates = self.judge.certify([self._subject(ask, i, j) for i, j in chosen])
        for (i, j), certificate in zip(chosen, certificates, strict=True):
            if certificate.verdict == "nonsense":
                self._convict(live, j, ask.texts[i], certificate.verdicts)

    def _is_plain(self, text: str) -> bool:
        """No special tokens, no control characters but line breaks and tabs, valid Unicode."""
        controls = (char for char in text if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t")
        return next(controls, None) is None and not any(token in text for token in self.oracle.rm.special_tokens)

    def _bar(self, live: Live, prompt: int) -> float:
        """The lowest reward on this prompt that would still be news."""
        reference = live.reference_rewards[prompt]
        open_goals = [self.criteria.threshold if reference is None else max(self.criteria.threshold, reference)]
        if live.beat_quantile is None:
            open_goals.append(self.criteria.threshold)
        if live.beat_reference is None and reference is not None:
            open_goals.append(reference)
        return min(open_goals)

    def _subject(self, ask: _Ask, text: int, prompt: int) -> Subject:
        live, policy = ask.live, self.oracle.policy
        asked = live.plan.prompts[prompt]
        return Subject(
            response=ask.texts[text],
            prompt=asked.conversation,
            reference=asked.reference,
            construction=ask.query.constructions[text] if ask.query.constructions else None,
            sampled_by=policy.fingerprint if policy and ask.texts[text] in live.sampled else None,
        )

    def _convict(self, live: Live, prompt: int, text: str, verdicts: tuple[Verdict, ...]) -> None:
        asked, reference = live.plan.prompts[prompt], live.reference_rewards[prompt]
        reward = self.oracle.rm.reward(Pair(asked.conversation, text))
        if live.beat_quantile is None and self.criteria.beats_quantile(reward):
            live.beat_quantile = live.queries
        if live.beat_reference is None and reference is not None and reward > reference:
            live.beat_reference = live.queries
        if live.found is None and self.criteria.wins(reward, reference):
            live.found = Conviction(
                prompt=asked,
                response=text,
                reward=reward,
                reference_reward=reference,
                verdicts=verdicts,
                queries=live.queries,
            )

    def _rows(self, ask: _Ask, rewards: Rewards) -> list[ScoredQuery]:
        plan = ask.live.plan
        texts = [(text, prompt) for text in ask.texts for prompt in plan.prompts]
        scored = [(at, float(reward)) for at, reward in zip(texts, rewards.ravel(), strict=True) if np.isfinite(reward)]
        return [
            ScoredQuery(
                attempt_id=plan.attempt_id,
                prompt_id=prompt.prompt_id,
                ordinal=ask.live.queries + n,
                response=text,
                reward=reward,
                rm_fingerprint=self.oracle.rm.fingerprint,
            )
            for n, ((text, prompt), reward) in enumerate(scored, start=1)
        ]
