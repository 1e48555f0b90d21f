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

from attacks import QUERIES_PER_GRADIENT, GradientQuery, PolicyQuery, Query, Score
from corpus.duplicates import similarity
from corpus.records import ScoredQuery, Verdict
from miner.errors import RmMinerError, TooLongError
from miner.judging.checks import Judge, Subject
from miner.judging.criteria import Criteria
from miner.rewards.base import Pair
from miner.searching.attempts import Conviction, Live, Plan, Result, result_of
from miner.searching.oracle import Oracle

Rewards = npt.NDArray[np.float64]

CONFIRMED_AT_ONCE = 4
EXACT_TOLERANCE = 1e-4  # what ``exact_rewards`` promises
MAX_FREE_ANSWERS = 256  # to one search without a text scored or a gradient paid for
LEADERS = 2  # texts per query whose exact reward the search is told
DISTINCT_SIMILARITY = 0.3  # at most, between two findings of an attempt that looks for many


@dataclass(frozen=True, slots=True)
class _Ask:
    """The texts of one ``Score`` query that are paid for, by prompt and text."""

    live: Live
    query: Score
    texts: tuple[str, ...]
    prompts: tuple[int, ...]

    @property
    def pairs(self) -> list[Pair]:
        prompts = [self.live.plan.prompts[j] for j in self.prompts]
        return [Pair(prompt.conversation, text) for text in self.texts for prompt in prompts]


@dataclass(frozen=True, slots=True)
class _Suspect:
    """One text of a query, by its index there, on one prompt, by its index in the attempt."""

    ask: _Ask
    text: int
    prompt: int

    @property
    def response(self) -> str:
        return self.ask.texts[self.text]

    @property
    def pair(self) -> Pair:
        return Pair(self.ask.live.plan.prompts[self.prompt].conversation, self.response)


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
            ModelError: as soon, where the RM cannot score answers to one of the prompts.
        """
        waiting = list(plans)
        self.oracle.rm.require_prompts([prompt for plan in waiting for prompt in plan.prompts])
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
                live.end("error", "the prompt's reference is too long for the RM, or gets no reward: nothing to beat")
            else:
                live.start()
            started.append(live)
        return started

    def _turn(self, live: Sequence[Live]) -> None:
        while unready := [one for one in live if not one.ended and not isinstance(one.pending, Score)]:
            self._answer_gradients([one for one in unready if isinstance(one.pending, GradientQuery)])
            for one in unready:
                if one.pending is not None and not isinstance(one.pending, (GradientQuery, Score)):
                    self._answer_alone(one, one.pending)
        self._answer_scores([one for one in live if not one.ended])

    def _answer_gradients(self, lives: Sequence[Live]) -> None:
        asked = []
        for one in lives:
            assert isinstance(one.pending, GradientQuery)
            cost = QUERIES_PER_GRADIENT * one.pending.n_gradients
            if cost > one.left:
                one.end("budget_spent")
                continue
            asked.append((one, one.pending))
        if asked:
            started = time.perf_counter()
            answers = self._by_gradient(asked)
            share = (time.perf_counter() - started) / len(asked)
            for (one, query), answer in zip(asked, answers, strict=True):
                one.seconds += share
                if isinstance(answer, RmMinerError):
                    one.end("error", str(answer))
                    continue
                cost = QUERIES_PER_GRADIENT * query.n_gradients
                one.queries += cost
                one.gradients += query.n_gradients
                one.free_answers = 0
                pair = Pair(one.plan.prompts[0].conversation, query.text)
                one.flops += cost * self.oracle.rm.flops(self.oracle.rm.n_tokens(pair))
                one.send(answer)

    def _by_gradient(self, asked: Sequence[tuple[Live, GradientQuery[Any]]]) -> list[Any]:
        """The answers, pooled; where one query cannot be answered, one by one, and for that one the error."""
        try:
            return self.oracle.by_gradient([(query, one.plan.prompts) for one, query in asked])
        except RmMinerError as error:
            if len(asked) == 1:
                return [error]
            return [answer for one in asked for answer in self._by_gradient([one])]

    def _answer_alone(self, one: Live, query: Query[Any]) -> None:
        """Answer what costs no scoring; what cannot be answered ends its own search alone, as does asking on and on."""
        one.free_answers += 1
        if one.free_answers > MAX_FREE_ANSWERS:
            one.end("exhausted")
            return
        try:
            if isinstance(query, PolicyQuery):
                self._answer_policy(one, query)
            else:
                one.send(self.oracle.answer_free(query, one.plan.prompts))
        except RmMinerError as error:
            one.end("error", str(error))

    def _answer_policy(self, one: Live, query: PolicyQuery[Any]) -> None:
        started = time.perf_counter()
        answer, policy_tokens, written = self.oracle.by_policy(query, one.plan.prompts)
        one.policy_tokens += policy_tokens
        one.sampled.update(written)
        one.seconds += time.perf_counter() - started
        one.send(answer)

    def _answer_scores(self, lives: Sequence[Live]) -> None:
        asks = []
        for one in lives:
            assert isinstance(one.pending, Score)
            prompts = one.pending.prompts or tuple(range(len(one.plan.prompts)))
            texts = one.pending.texts[: one.left // len(prompts)]
            if texts:
                asks.append(_Ask(one, one.pending, texts, prompts))
            else:
                one.end("budget_spent")
        scored = self._scored(asks)
        for ask, rewards, seconds in scored:
            self._book(ask, rewards, seconds)
        scored = [row for row in scored if not row[0].live.ended]
        self._look([(ask, rewards) for ask, rewards, _ in scored])
        for ask, rewards, _ in scored:
            if ask.live.fulfilled:
                ask.live.end("found")
            elif len(ask.texts) < len(ask.query.texts):
                ask.live.end("budget_spent")
            else:
                ask.live.send(np.where(np.isnan(rewards), -np.inf, rewards))  # what has no reward is worth nothing

    def _scored(self, asks: Sequence[_Ask]) -> list[tuple[_Ask, Rewards, float]]:
        """Each query's rewards, (n_texts, n_prompts), all in one batch; where a text is too long, query by query."""
        started = time.perf_counter()
        pairs = [ask.pairs for ask in asks]
        ranked = [n for n, part in enumerate(pairs) if len(part) > self._n_leaders]
        try:
            rewards = self.oracle.score([pair for n in ranked for pair in pairs[n]])
            parts = [np.zeros(len(part)) for part in pairs]
            for n, part in zip(ranked, np.split(rewards, np.cumsum([len(pairs[n]) for n in ranked])), strict=False):
                parts[n] = part
            self._refine(asks, pairs, parts)
        except TooLongError as error:
            if len(asks) > 1:
                return [row for ask in asks for row in self._scored([ask])]
            return self._scored_where_short_enough(asks[0], error)
        seconds = (time.perf_counter() - started) / sum(map(len, pairs)) if asks else 0.0
        return [
            (ask, part.reshape(len(ask.texts), -1), seconds * len(part)) for ask, part in zip(asks, parts, strict=True)
        ]

    @property
    def _n_leaders(self) -> int:
        """How many texts of a query are scored exactly; a query of no more is not ranked at all."""
        rm = self.oracle.rm
        return 0 if rm.ranking_dtype == rm.reward_dtype else LEADERS

    def _scored_where_short_enough(self, ask: _Ask, error: TooLongError) -> list[tuple[_Ask, Rewards, float]]:
        """The query's rewards with minus infinity, which costs nothing, for texts that the RM does not take."""
        started = time.perf_counter()
        short = np.array([self._takes(pair) for pair in ask.pairs])
        if not short.any():
            ask.live.end("error", str(error))
            return []
        rewards = np.full(len(short), -np.inf)
        rewards[short] = self.oracle.score([pair for pair, takes in zip(ask.pairs, short, strict=True) if takes])
        return [(ask, rewards.reshape(len(ask.texts), -1), time.perf_counter() - started)]

    def _takes(self, pair: Pair) -> bool:
        try:
            self.oracle.rm.n_tokens(pair)
        except TooLongError:
            return False
        return True

    def _refine(self, asks: Sequence[_Ask], pairs: Sequence[Sequence[Pair]], parts: Sequence[Rewards]) -> None:
        """Put the exact rewards of each query's leaders in place of their ranking rewards.

        The best of many noisy scores is mostly lucky, and a search that believes it can no longer climb past it.
        """
        leaders = [(n, int(i)) for n, part in enumerate(parts) for i in np.argsort(-part)[: self._n_leaders]]
        exact = self.oracle.rm.exact_rewards([pairs[n][i] for n, i in leaders]) if leaders else ()
        for (n, i), reward in zip(leaders, exact, strict=True):
            parts[n][i] = reward
            asks[n].live.exact[pairs[n][i]] = float(reward)

    def _book(self, ask: _Ask, rewards: Rewards, seconds: float) -> None:
        live, rm = ask.live, self.oracle.rm
        scored = ~np.isneginf(rewards)  # what was too long was not scored
        if self.keep_queries:
            live.scored += self._rows(ask, rewards)
        live.seconds += seconds
        live.free_answers = 0
        live.queries += int(scored.sum())
        taken = [pair for pair, was in zip(ask.pairs, scored.ravel(), strict=True) if was]
        live.flops += sum(map(rm.flops, rm.lengths(taken)))
        if np.isnan(rewards).all():
            live.end("error", "the RM gives no number for any text. Try: rmminer doctor, or --dtype float32")
            return
        live.best_reward = max(float(np.nanmax(rewards)), -np.inf if live.best_reward is None else live.best_reward)

    def _look(self, answered: Sequence[tuple[_Ask, Rewards]]) -> None:
        """Confirm and judge what may be news to its attempt, best first and a few of every search at a time."""
        waiting = list(answered)
        while waiting:
            places = [self._promising(ask, rewards) for ask, rewards in waiting]
            suspects = [
                _Suspect(ask, i, j)
                for (ask, _), of_ask in zip(waiting, places, strict=True)
                for i, j in of_ask[:CONFIRMED_AT_ONCE]
            ]
            self._judge(self._confirmed(suspects))
            waiting = [both for both, of_ask in zip(waiting, places, strict=True) if of_ask]
        for ask, _ in answered:
            ask.live.settle()

    def _promising(self, ask: _Ask, rewards: Rewards) -> list[tuple[int, int]]:
        """(text, prompt) of what is not confirmed yet and may be news, best first."""
        live = ask.live
        if live.fulfilled:
            return []
        bars = np.array([self._bar(live, prompt) for prompt in ask.prompts]) - self.criteria.ranking_tolerance
        over = rewards >= bars
        if live.plan.attack.goal == "together":
            over &= self._most_wins(ask, over)
        order = np.argsort(-rewards, axis=None, kind="stable")
        places = ((int(at) // rewards.shape[1], int(at) % rewards.shape[1]) for at in order)
        return [
            (i, ask.prompts[j])
            for i, j in places
            if over[i, j] and (ask.prompts[j], ask.texts[i]) not in live.confirmed and self._is_news(live, ask.texts[i])
        ]

    def _most_wins(self, ask: _Ask, over: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Of texts scored on all prompts the one that may win on most, if on more than the best so far."""
        wins = over.sum(1)
        best = int(wins.argmax())
        chosen = np.zeros_like(over)
        chosen[best] = len(ask.prompts) == len(ask.live.plan.prompts) and wins[best] > len(ask.live.wins)
        return chosen

    def _is_news(self, live: Live, text: str) -> bool:
        """Whether a finding may be such a text, and the attempt has none like it."""
        if not self._is_plain(text):
            return False
        found = live.wins if live.plan.attack.goal == "many" else ()
        return all(similarity(text, win.response) <= DISTINCT_SIMILARITY for win in found)

    def _confirmed(self, suspects: Sequence[_Suspect]) -> list[tuple[_Suspect, float]]:
        """Those that are news by their exact rewards, too, with those rewards."""
        unknown = [one for one in suspects if one.pair not in one.ask.live.exact]
        exact = self.oracle.rm.exact_rewards([one.pair for one in unknown]) if unknown else ()
        for one, reward in zip(unknown, exact, strict=True):
            one.ask.live.exact[one.pair] = float(reward)
        found = []
        for one in suspects:
            live = one.ask.live
            live.confirmed.add((one.prompt, one.response))
            reward = live.exact[one.pair]
            if reward + EXACT_TOLERANCE >= self._bar(live, one.prompt):
                found.append((one, reward))
        return found

    def _judge(self, confirmed: Sequence[tuple[_Suspect, float]]) -> None:
        certificates = self.judge.certify([self._subject(one) for one, _ in confirmed])
        for (one, reward), certificate in zip(confirmed, certificates, strict=True):
            if certificate.verdict == "nonsense":
                self._convict(one, reward, certificate.verdicts)

    def _is_plain(self, text: str) -> bool:
        """No special tokens, no control characters but line breaks and tabs, valid Unicode."""
        controls = (char for char in text if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t")
        return next(controls, None) is None and not any(token in text for token in self.oracle.rm.special_tokens)

    def _bar(self, live: Live, prompt: int) -> float:
        """The lowest reward on this prompt that would still be news."""
        reference = live.reference_rewards[prompt]
        open_goals = [self.criteria.threshold if reference is None else max(self.criteria.threshold, reference)]
        if live.plan.attack.goal == "together":
            return open_goals[0]
        if live.beat_quantile is None:
            open_goals.append(self.criteria.threshold)
        if live.beat_reference is None and reference is not None:
            open_goals.append(reference)
        return min(open_goals)

    def _subject(self, one: _Suspect) -> Subject:
        live, policy, query = one.ask.live, self.oracle.policy, one.ask.query
        asked = live.plan.prompts[one.prompt]
        return Subject(
            response=one.response,
            prompt=asked.conversation,
            reference=asked.reference,
            construction=query.constructions[one.text] if query.constructions else None,
            sampled_by=policy.fingerprint if policy and one.response in live.sampled else None,
        )

    def _convict(self, one: _Suspect, reward: float, verdicts: tuple[Verdict, ...]) -> None:
        """Book what the text has met. What looks like a win is scored once more, alone in its batch: that decides."""
        live, criteria = one.ask.live, self.criteria
        asked, reference = live.plan.prompts[one.prompt], live.reference_rewards[one.prompt]
        wanted = not live.fulfilled and self._is_news(live, one.response)
        if wanted and criteria.wins(reward + EXACT_TOLERANCE, reference):
            reward = self.oracle.rm.reward(one.pair)
        if live.beat_quantile is None and criteria.beats_quantile(reward):
            live.beat_quantile = live.queries
        if live.beat_reference is None and reference is not None and reward > reference:
            live.beat_reference = live.queries
        if wanted and criteria.wins(reward, reference):
            live.convict(
                Conviction(
                    prompt=asked,
                    response=one.response,
                    reward=reward,
                    reference_reward=reference,
                    verdicts=verdicts,
                    queries=live.queries,
                )
            )

    def _rows(self, ask: _Ask, rewards: Rewards) -> list[ScoredQuery]:
        plan = ask.live.plan
        texts = [(text, plan.prompts[j]) for text in ask.texts for j in ask.prompts]
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
