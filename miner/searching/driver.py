"""Runs many searches at once, in turns, and sees that none spends more than its budget.

In a turn every running attempt is brought to a ``Score`` query (its other queries are answered, gradients together),
then all texts are scored together. What might win is confirmed; an attempt ends when its goal is reached. One that asks
for more texts than it can pay for gets those it can scored, and ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from attacks import QUERIES_PER_GRADIENT, Carried, GradientQuery, PolicyQuery, Query, Score
from miner.errors import RmMinerError
from miner.judging.checks import AnyCertifier
from miner.judging.criteria import Criteria
from miner.rewards.base import Pair
from miner.searching.attempts import Plan, Result, result_of
from miner.searching.confirmation import Confirmation
from miner.searching.oracle import Oracle
from miner.searching.running import RunningAttempt
from miner.searching.scoring import Scored, Scoring

CONFIRMED_AT_ONCE = 4  # texts of one search


@dataclass(kw_only=True)
class Driver:
    """``in_flight`` searches run side by side; ``keep_queries`` records every scored text."""

    oracle: Oracle
    criteria: Criteria
    certifier: AnyCertifier
    in_flight: int = 24
    keep_queries: bool = False

    @cached_property
    def confirmation(self) -> Confirmation:
        return Confirmation(rm=self.oracle.rm, criteria=self.criteria, certifier=self.certifier)

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
        running: list[RunningAttempt] = []
        while running or waiting:
            running += self._launch([waiting.pop() for _ in range(min(len(waiting), self.in_flight - len(running)))])
            self._turn(running)
            for attempt in running:
                if attempt.ended:
                    yield result_of(attempt.ending, self.oracle.rm, self.criteria)
            running = [attempt for attempt in running if not attempt.ended]

    def _launch(self, plans: Sequence[Plan]) -> list[RunningAttempt]:
        references = [
            None if prompt.reference is None else Pair(prompt.conversation, prompt.reference)
            for plan in plans
            for prompt in plan.prompts
        ]
        rewards = iter(self.confirmation.reference_rewards(references))
        policy = self.oracle.policy.fingerprint if self.oracle.policy else None
        started = []
        for plan in plans:
            to_beat = [next(rewards) for _ in plan.prompts]
            attempt = RunningAttempt(plan, self.confirmation, to_beat, policy)
            if any(reward is not None and np.isnan(reward) for reward in to_beat):
                attempt.end("error", "the RM refuses the prompt's reference, or gives it no reward: nothing to beat")
            else:
                attempt.start()
            started.append(attempt)
        return started

    def _turn(self, running: Sequence[RunningAttempt]) -> None:
        while unready := [one for one in running if not one.ended and not isinstance(one.pending, Score)]:
            self._answer_gradients([one for one in unready if isinstance(one.pending, GradientQuery)])
            for one in unready:
                if one.pending is not None and not isinstance(one.pending, (GradientQuery, Score)):
                    self._answer_alone(one, one.pending)
        self._answer_scores([one for one in running if not one.ended])

    def _answer_gradients(self, attempts: Sequence[RunningAttempt]) -> None:
        asked = []
        for one in attempts:
            assert isinstance(one.pending, GradientQuery)
            if QUERIES_PER_GRADIENT * one.pending.n_gradients > one.remaining_queries:
                one.end("budget_spent")
            else:
                asked.append((one, one.pending))
        if not asked:
            return
        started = time.perf_counter()
        answers = self._by_gradient(asked)
        share = (time.perf_counter() - started) / len(asked)
        for (one, query), answer in zip(asked, answers, strict=True):
            if isinstance(answer, RmMinerError):
                one.charge(seconds=share)
                one.end("error", str(answer))
                continue
            cost = QUERIES_PER_GRADIENT * query.n_gradients
            tokens = self.oracle.rm.n_tokens(Pair(one.plan.prompts[0].conversation, query.text))
            flops = cost * self.oracle.rm.flops(tokens)
            one.charge(queries=cost, gradients=query.n_gradients, flops=flops, seconds=share)
            one.send(answer)

    def _by_gradient(self, asked: Sequence[tuple[RunningAttempt, GradientQuery[Any]]]) -> list[Any]:
        """The answers, together; where one query cannot be answered, one by one, and for that one the error."""
        try:
            return self.oracle.by_gradient([(query, one.plan.prompts) for one, query in asked])
        except RmMinerError as error:
            if len(asked) == 1:
                return [error]
            return [answer for one in asked for answer in self._by_gradient([one])]

    def _answer_alone(self, one: RunningAttempt, query: Query[Any]) -> None:
        """Answer what costs no scoring; what cannot be answered ends its own search alone, as does asking on and on."""
        try:
            if isinstance(query, PolicyQuery):
                started = time.perf_counter()
                answer, policy_tokens, written = self.oracle.by_policy(query, one.plan.prompts)
                one.charge(policy_tokens=policy_tokens, seconds=time.perf_counter() - started)
                one.remember_sampled(written)
            elif isinstance(query, Carried):
                carried = self.oracle.carried.get(one.plan.prompts[0].prompt_id)
                answer = carried.texts if carried else ()
                if carried:
                    one.charge(
                        queries=carried.queries,
                        gradients=carried.gradients,
                        flops=carried.flops,
                        seconds=carried.seconds,
                    )
            else:
                answer = self.oracle.answer_free(query, one.plan.prompts)
        except RmMinerError as error:
            one.end("error", str(error))
        else:
            one.send_free(answer)

    def _answer_scores(self, attempts: Sequence[RunningAttempt]) -> None:
        asked = []
        for one in attempts:
            if request := one.score_request():
                asked.append((one, request))
            else:
                one.end("budget_spent")
        scored = Scoring(oracle=self.oracle).scored([request for _, request in asked])
        answered = [(one, found) for (one, _), found in zip(asked, scored, strict=True)]
        for one, found in answered:
            self._book(one, found)
        answered = [(one, found) for one, found in answered if not one.ended]
        self._look(answered)
        for one, found in answered:
            if one.goal_reached:
                one.end("found")
            elif not found.request.is_whole:
                one.end("budget_spent")
            else:
                one.send(np.where(np.isnan(found.rewards), -np.inf, found.rewards))  # without a reward: worth nothing

    def _book(self, one: RunningAttempt, found: Scored) -> None:
        rm = self.oracle.rm
        if found.error is not None:
            one.end("error", found.error)
            return
        one.take_rewards(found, kept_for=rm.fingerprint if self.keep_queries else None)
        pairs = found.pairs_scored
        one.charge(queries=len(pairs), flops=rm.flops_together(pairs), seconds=found.seconds)
        if np.isnan(found.rewards).all():
            one.end("error", "the RM gives no number for any text. Try: rmminer doctor, or --dtype float32")

    def _look(self, answered: Sequence[tuple[RunningAttempt, Scored]]) -> None:
        """Confirm what may be news to its attempt, best first and a few of every search at a time."""
        waiting = list(answered)
        while waiting:
            of_each = [one.candidates(found) for one, found in waiting]
            suspects = [
                (one, candidate)
                for (one, _), candidates in zip(waiting, of_each, strict=True)
                for candidate in candidates[:CONFIRMED_AT_ONCE]
            ]
            confirmed = self.confirmation.confirm(
                [candidate for _, candidate in suspects], [one.wants for one, _ in suspects]
            )
            for (one, candidate), found_to_be in zip(suspects, confirmed, strict=True):
                one.take(candidate, found_to_be)
            waiting = [both for both, candidates in zip(waiting, of_each, strict=True) if candidates]
        for one, _ in answered:
            one.settle()
