"""One attempt in progress: its search, what it has spent, and what it has found so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from attacks import Attack, Query, Search
from corpus.records import Attempt, Finding, Outcome, Prompt, ScoredQuery, Split, Verdict, attempt_id, finding_id
from miner.judging.criteria import Criteria
from miner.judging.forms import form_of
from miner.rewards.base import Pair, RewardModel
from miner.searching.version import code_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An attempt to make; ``attempt_id`` is what a resumed campaign looks for."""

    attempt_id: str
    campaign_id: str
    round: int
    prompts: tuple[Prompt, ...]
    attack: Attack
    seed: int
    budget: int
    criteria_hash: str

    @property
    def split(self) -> Split:
        return self.prompts[0].split


@dataclass(frozen=True, slots=True, kw_only=True)
class Conviction:
    """A confirmed response that a quorum calls nonsense: ``reward`` exact, ``queries`` spent when it was known."""

    prompt: Prompt
    response: str
    reward: float
    reference_reward: float | None
    verdicts: tuple[Verdict, ...]
    queries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished attempt with what belongs to it; stored together or not at all."""

    plan: Plan
    attempt: Attempt
    findings: tuple[Finding, ...]
    scored: tuple[ScoredQuery, ...]


@dataclass(slots=True, kw_only=True)
class Live:
    """An attempt's run state. ``pending`` is the query it waits on; None once it has ended."""

    plan: Plan
    search: Search
    reference_rewards: tuple[float | None, ...]
    pending: Query[Any] | None = None
    queries: int = 0
    gradients: int = 0
    free_answers: int = 0  # since the last that was paid for
    policy_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    best_reward: float | None = None
    beat_reference: int | None = None
    beat_quantile: int | None = None
    queries_to_find: int | None = None
    wins: list[Conviction] = field(default_factory=list)
    trial: list[Conviction] = field(default_factory=list)  # of the one text that may beat the best on all prompts
    outcome: Outcome | None = None
    error: str | None = None
    sampled: set[str] = field(default_factory=set)
    confirmed: set[tuple[int, str]] = field(default_factory=set)
    exact: dict[Pair, float] = field(default_factory=dict)  # of the texts whose exact rewards are known
    scored: list[ScoredQuery] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.outcome is not None

    @property
    def left(self) -> int:
        return self.plan.budget - self.queries

    @property
    def fulfilled(self) -> bool:
        """Whether the attack's goal is reached, so that more queries would be wasted."""
        match self.plan.attack.goal:
            case "first":
                return bool(self.wins)
            case "many":
                return False
            case "together":
                return len(self.wins) == len(self.plan.prompts)

    def start(self) -> None:
        self._advance(lambda: next(self.search))

    def send(self, answer: object) -> None:
        self._advance(lambda: self.search.send(answer))

    def end(self, outcome: Outcome, error: str | None = None) -> None:
        """What was found stands, however the search ended."""
        self.outcome, self.error, self.pending = "found" if self.wins else outcome, error, None
        self.search.close()

    def convict(self, win: Conviction) -> None:
        """Keep a win; of an attack on many prompts together it stands only once its text has won on more than any."""
        if self.queries_to_find is None:
            self.queries_to_find = win.queries
        (self.trial if self.plan.attack.goal == "together" else self.wins).append(win)

    def settle(self) -> None:
        """All that was in doubt has been judged: the text that wins on most prompts is what was found."""
        if len(self.trial) > len(self.wins):
            self.wins = self.trial
        self.trial = []

    def _advance(self, step: Any) -> None:
        try:
            self.pending = step()
        except StopIteration:
            self.end("exhausted")
        except Exception as error:  # whatever a search does wrong ends that search alone, and is stored with it
            self.end("error", f"{type(error).__name__}: {error}")


def plan_attempt(
    *,
    campaign_id: str,
    round_number: int,
    prompts: Sequence[Prompt],
    attack: Attack,
    seed: int,
    budget: int,
    rm: RewardModel,
    criteria_hash: str,
) -> Plan:
    """The plan with its identity: everything that decides what the attempt does."""
    return Plan(
        attempt_id=attempt_id(
            prompt_ids=[prompt.prompt_id for prompt in prompts],
            attack=attack.name,
            attack_params=attack.params,
            code_version=code_version(attack),
            seed=seed,
            budget=budget,
            rm_fingerprint=rm.fingerprint,
            pipeline_hash=rm.pipeline_hash,
            criteria_hash=criteria_hash,
        ),
        campaign_id=campaign_id,
        round=round_number,
        prompts=tuple(prompts),
        attack=attack,
        seed=seed,
        budget=budget,
        criteria_hash=criteria_hash,
    )


def result_of(live: Live, rm: RewardModel, criteria: Criteria) -> Result:
    """The rows of an attempt that has ended."""
    assert live.outcome is not None
    plan = live.plan
    attempt = Attempt(
        attempt_id=plan.attempt_id,
        campaign_id=plan.campaign_id,
        round=plan.round,
        prompt_ids=tuple(prompt.prompt_id for prompt in plan.prompts),
        split=plan.split,
        attack=plan.attack.name,
        family=plan.attack.family,
        attack_params=plan.attack.params,
        code_version=code_version(plan.attack),
        seed=plan.seed,
        budget=plan.budget,
        queries=live.queries,
        gradients=live.gradients,
        policy_tokens=live.policy_tokens,
        flops=live.flops,
        queries_to_find=live.queries_to_find,
        outcome=live.outcome,
        error=live.error,
        best_reward=live.best_reward,
        rm_fingerprint=rm.fingerprint,
        pipeline_hash=rm.pipeline_hash,
        criteria_hash=plan.criteria_hash,
        seconds=live.seconds,
        queries_to_beat_reference=live.beat_reference,
        queries_to_beat_quantile=live.beat_quantile,
    )
    findings = tuple(_finding(win, plan, rm, criteria) for win in live.wins)
    return Result(plan=plan, attempt=attempt, findings=findings, scored=tuple(live.scored))


def _finding(found: Conviction, plan: Plan, rm: RewardModel, criteria: Criteria) -> Finding:
    prompt_id = found.prompt.prompt_id if len(plan.prompts) > 1 else None
    return Finding(
        finding_id=finding_id(plan.attempt_id, found.response, prompt_id),
        attempt_id=plan.attempt_id,
        campaign_id=plan.campaign_id,
        round=plan.round,
        prompt_id=found.prompt.prompt_id,
        split=found.prompt.split,
        prompt=found.prompt.conversation,
        response=found.response,
        reference=found.prompt.reference,
        reward=found.reward,
        reward_dtype=rm.reward_dtype,
        reference_reward=found.reference_reward,
        margin=criteria.margin(found.reward),
        threshold=criteria.threshold,
        threshold_quantile=criteria.quantile,
        attack=plan.attack.name,
        family=plan.attack.family,
        form=form_of(found.response, found.prompt.conversation, found.verdicts),
        kind="nonsense",
        attack_params=plan.attack.params,
        code_version=code_version(plan.attack),
        seed=plan.seed,
        queries=found.queries,
        rm_fingerprint=rm.fingerprint,
        pipeline_hash=rm.pipeline_hash,
        certificate=found.verdicts,
        parent_ids=(),
        created_at=datetime.now(UTC),
    )


__all__ = ["Conviction", "Live", "Plan", "Result", "plan_attempt", "result_of"]
