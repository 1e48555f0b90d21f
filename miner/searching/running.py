"""An attempt being made: what its search waits for, what it has spent, and what it has found so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from attacks import Query, Score
from corpus.records import Outcome, Prompt, ScoredQuery
from miner.rewards.base import Pair
from miner.searching.attempts import Ending, Plan, Tally, Win
from miner.searching.confirmation import Candidate, Confirmation, ConfirmationOutcome
from miner.searching.scoring import Scored, ScoreRequest

MAX_FREE_ANSWERS = 256  # to one search without a text scored or a gradient paid for


class RunningAttempt:
    """Carries a plan out, query by query: ``pending`` is what its search waits for, None once it has ended."""

    def __init__(
        self, plan: Plan, confirmation: Confirmation, reference_rewards: Sequence[float | None], policy: str | None
    ) -> None:
        """``policy`` is the fingerprint of the one that answers its search, if any."""
        self.plan = plan
        self.pending: Query[Any] | None = None
        self._confirmation, self._policy = confirmation, policy
        prompt_ids = (prompt.prompt_id for prompt in plan.prompts)
        self._reference_rewards = dict(zip(prompt_ids, reference_rewards, strict=True))
        self._search = plan.attack.search(plan.seed)
        self._tally = Tally()
        self._free_answers = self._n_scored = 0
        self._ending: Ending | None = None
        self._wins: list[Win] = []
        self._pending_wins: list[Win] = []  # of the one text that may win on more prompts than the best so far
        self._sampled: set[str] = set()
        self._confirmed: set[tuple[str, str]] = set()  # (prompt_id, text)
        self._exact: dict[Pair, float] = {}  # of the texts whose exact rewards are known
        self._scored: list[ScoredQuery] = []

    @property
    def ended(self) -> bool:
        return self._ending is not None

    @property
    def ending(self) -> Ending:
        assert self._ending is not None, "the attempt has not ended yet"
        return self._ending

    @property
    def remaining_queries(self) -> int:
        return self.plan.budget - self._tally.queries

    @property
    def goal_reached(self) -> bool:
        """Whether more queries would be wasted."""
        match self.plan.attack.goal:
            case "first":
                return bool(self._wins)
            case "many":
                return False
            case "together":
                return len(self._wins) == len(self.plan.prompts)

    def start(self) -> None:
        """To the first query."""
        self._advance(lambda: next(self._search))

    def send(self, answer: object) -> None:
        """To the next query."""
        self._advance(lambda: self._search.send(answer))

    def send_free(self, answer: object) -> None:
        """An answer that cost no query. Too many of them in a row end the search."""
        self._free_answers += 1
        if self._free_answers > MAX_FREE_ANSWERS:
            self.end("error", f"more than {MAX_FREE_ANSWERS} questions in a row and no text to score: it goes nowhere")
        else:
            self.send(answer)

    def end(self, outcome: Outcome, error: str | None = None) -> None:
        """What was found stands, however the search ended."""
        self._search.close()
        self.pending = None
        self._ending = Ending(
            plan=self.plan,
            outcome="found" if self._wins else outcome,
            error=error,
            tally=self._tally,
            wins=tuple(self._wins),
            scored=tuple(self._scored),
        )

    def charge(
        self,
        *,
        queries: int = 0,
        gradients: int = 0,
        policy_tokens: int = 0,
        flops: float = 0.0,
        seconds: float = 0.0,
    ) -> None:
        """Book what an answer has cost."""
        tally = self._tally
        tally.queries += queries
        tally.gradients += gradients
        tally.policy_tokens += policy_tokens
        tally.flops += flops
        tally.seconds += seconds
        self._free_answers = 0 if queries else self._free_answers

    def score_request(self) -> ScoreRequest | None:
        """As much of the pending ``Score`` query as the budget pays for; None where that is nothing."""
        assert isinstance(self.pending, Score)
        wanted = self.pending.prompts or range(len(self.plan.prompts))
        prompts = tuple(self.plan.prompts[i] for i in wanted)
        texts = self.pending.texts[: self.remaining_queries // len(prompts)]
        return ScoreRequest(query=self.pending, texts=texts, prompts=prompts, known=self._exact) if texts else None

    def take_rewards(self, scored: Scored, *, kept_for: str | None) -> None:
        """Remember the best reward and the exact ones, and all texts where ``kept_for`` names an RM's fingerprint.

        The same text is to have the same exact reward whenever it comes up again.
        """
        if kept_for is not None:
            self._scored += scored.rows(self.plan.attempt_id, kept_for, before=self._tally.queries)
        self._exact.update(scored.exact)
        self._n_scored += len(scored.pairs_scored)
        best = float(np.max(scored.rewards, initial=-np.inf, where=~np.isnan(scored.rewards)))
        if not np.isnan(scored.rewards).all():
            self._tally.best_reward = best if (b := self._tally.best_reward) is None else max(best, b)

    def remember_sampled(self, texts: Iterable[str]) -> None:
        """The policy wrote these: its own likelihood is no evidence against them."""
        self._sampled.update(texts)

    def candidates(self, scored: Scored) -> list[Candidate]:
        """What of these texts may be news and was not confirmed yet, best first.

        Once the search has what it wants, those that it submitted before that: a text among them that wins, too, is how
        few queries the find would have cost.
        """
        if self.goal_reached and self.plan.attack.goal != "first":
            return []
        request, rewards = scored.request, scored.rewards
        bars = np.array([self._news_bar(prompt) for prompt in request.prompts])
        over = rewards >= bars - self._confirmation.criteria.ranking_tolerance
        queries = self._queries_up_to(scored)
        places: Iterable[int] = np.argsort(-rewards, axis=None, kind="stable")
        if self.goal_reached:
            over &= queries < (self._tally.queries_to_find or 0)
            places = range(rewards.size)  # in the order of submission: the first that wins is the earliest
        elif self.plan.attack.goal == "together":
            over &= self._most_wins(request, over)
        found = []
        for place in places:
            i, j = divmod(int(place), rewards.shape[1])
            if over[i, j] and self._needs_confirmation(request.prompts[j], request.texts[i]):
                found.append(self._candidate(request, i, request.prompts[j], int(queries[i, j])))
        return found

    def wants(self, candidate: Candidate) -> bool:
        """Whether the candidate would still be a finding, or the first to be one, after those that were taken."""
        if self.goal_reached:
            return candidate.queries < (self._tally.queries_to_find or 0)
        return self._is_new_finding(candidate.response)

    def take(self, candidate: Candidate, confirmed: ConfirmationOutcome | None) -> None:
        """Book what a text has met. A win on prompts together stands only once its text has won on more than any."""
        self._confirmed.add((candidate.prompt.prompt_id, candidate.response))
        if confirmed is None:
            return
        if confirmed.unconvicted is not None:
            self._tally.won_abstained += confirmed.unconvicted == "abstain"
            self._tally.won_acquitted += confirmed.unconvicted == "sensible"
            return
        tally, reference, queries = self._tally, candidate.reference_reward, candidate.queries
        if self._confirmation.criteria.beats_quantile(confirmed.reward):
            tally.queries_to_beat_quantile = _earlier(tally.queries_to_beat_quantile, queries)
        if reference is not None and confirmed.reward > reference:
            tally.queries_to_beat_reference = _earlier(tally.queries_to_beat_reference, queries)
        if not confirmed.wins:
            return
        had_what_it_wants = self.goal_reached
        tally.queries_to_find = _earlier(tally.queries_to_find, queries)
        if had_what_it_wants:
            return
        win = Win(
            prompt=candidate.prompt,
            response=candidate.response,
            reward=confirmed.reward,
            reference_reward=reference,
            verdicts=confirmed.verdicts,
            queries=queries,
        )
        (self._pending_wins if self.plan.attack.goal == "together" else self._wins).append(win)

    def settle(self) -> None:
        """All that was in doubt has been judged: the text that wins on most prompts is what was found."""
        if len(self._pending_wins) > len(self._wins):
            self._wins = self._pending_wins
        self._pending_wins = []

    def _advance(self, step: Callable[[], Query[Any]]) -> None:
        try:
            self.pending = step()
        except StopIteration:
            if self._n_scored:
                self.end("exhausted")
            else:
                self.end("error", "the search had nothing to try: it ended before a text was scored")
        except Exception as error:  # whatever a search does wrong ends that search alone, and is stored with it
            self.end("error", f"{type(error).__name__}: {error}")

    def _needs_confirmation(self, prompt: Prompt, text: str) -> bool:
        seen = (prompt.prompt_id, text) in self._confirmed
        return not seen and self._confirmation.is_plain(text) and self._is_new_finding(text)

    def _news_bar(self, prompt: Prompt) -> float:
        """The lowest reward on this prompt that would still be news: half of winning is booked apart."""
        threshold, reference = self._confirmation.criteria.threshold, self._reference_rewards[prompt.prompt_id]
        bars = [self._confirmation.bar(reference)]
        if self.plan.attack.goal == "together":
            return bars[0]
        if self._tally.queries_to_beat_quantile is None:
            bars.append(threshold)
        if self._tally.queries_to_beat_reference is None and reference is not None:
            bars.append(reference)
        return min(bars)

    def _most_wins(self, request: ScoreRequest, over: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Of texts scored on all prompts the one that may win on most, if on more than the best so far."""
        wins = over.sum(1)
        best = int(wins.argmax())
        chosen = np.zeros_like(over)
        chosen[best] = len(request.prompts) == len(self.plan.prompts) and wins[best] > len(self._wins)
        return chosen

    def _is_new_finding(self, text: str) -> bool:
        """Whether the attempt has found none like it, where it looks for many."""
        found = self._wins if self.plan.attack.goal == "many" else ()
        return self._confirmation.is_new(text, [win.response for win in found])

    def _queries_up_to(self, scored: Scored) -> npt.NDArray[np.int64]:
        """What the attempt has cost with each text: (n_texts, n_prompts). What was scored is paid for already, and a
        text for prompts together is paid for on all of them."""
        paid = ~np.isneginf(scored.rewards)
        up_to = self._tally.queries - paid.sum() + paid.cumsum().reshape(paid.shape)
        return np.broadcast_to(up_to[:, -1:], paid.shape) if self.plan.attack.goal == "together" else up_to

    def _candidate(self, request: ScoreRequest, text: int, prompt: Prompt, queries: int) -> Candidate:
        response = request.texts[text]
        return Candidate(
            prompt=prompt,
            response=response,
            reference_reward=self._reference_rewards[prompt.prompt_id],
            news_bar=self._news_bar(prompt),
            queries=queries,
            reward=self._exact.get(Pair(prompt.conversation, response)),
            construction=request.query.constructions[text] if request.query.constructions else None,
            sampled_by=self._policy if response in self._sampled else None,
        )


def _earlier(known: int | None, queries: int) -> int:
    return queries if known is None else min(known, queries)
