"""The unit of work: what an attempt is to do, by which it is known, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from attacks import Attack
from corpus.records import (
    Attempt,
    Finding,
    Kind,
    Outcome,
    Prompt,
    ScoredQuery,
    Split,
    Verdict,
    attempt_id,
    digest,
    finding_id,
)
from miner.judging.criteria import Criteria
from miner.judging.forms import form_of
from miner.rewards.base import RewardModel
from miner.searching.version import code_version


@dataclass(frozen=True, kw_only=True)
class RoundContext:
    """What all attempts of a round have in common. ``seed`` is the campaign's, of which theirs are drawn."""

    campaign_id: str
    round: int
    rm: RewardModel
    criteria_hash: str
    seed: int


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
class Win:
    """A response that is a finding: its ``reward`` alone in its batch, the ``queries`` paid for up to it."""

    prompt: Prompt
    response: str
    reward: float
    reference_reward: float | None
    verdicts: tuple[Verdict, ...]
    queries: int


@dataclass(slots=True, kw_only=True)
class Tally:
    """What an attempt has spent, and after how many queries it met what it looks for."""

    queries: int = 0
    gradients: int = 0
    policy_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    best_reward: float | None = None
    queries_to_find: int | None = None
    queries_to_beat_reference: int | None = None
    queries_to_beat_quantile: int | None = None
    won_abstained: int = 0
    won_acquitted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended, and with what. ``scored`` are its texts where they are kept."""

    plan: Plan
    outcome: Outcome
    tally: Tally
    wins: tuple[Win, ...] = ()
    error: str | None = None
    scored: tuple[ScoredQuery, ...] = ()
    kind: Kind = "nonsense"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished attempt with what belongs to it: its findings are stored before it."""

    plan: Plan
    attempt: Attempt
    findings: tuple[Finding, ...]
    scored: tuple[ScoredQuery, ...] = field(repr=False)


def plan_attempt(context: RoundContext, attack: Attack, prompts: Sequence[Prompt], *, seed: int, budget: int) -> Plan:
    """The plan with its identity: everything that decides what the attempt does."""
    return Plan(
        attempt_id=attempt_id(
            prompt_ids=[prompt.prompt_id for prompt in prompts],
            attack=attack.name,
            attack_params=attack.params,
            code_version=code_version(attack),
            seed=seed,
            budget=budget,
            rm_fingerprint=context.rm.fingerprint,
            pipeline_hash=context.rm.pipeline_hash,
            criteria_hash=context.criteria_hash,
        ),
        campaign_id=context.campaign_id,
        round=context.round,
        prompts=tuple(prompts),
        attack=attack,
        seed=seed,
        budget=budget,
        criteria_hash=context.criteria_hash,
    )


def numbered_attempt(
    context: RoundContext, attack: Attack, prompts: Sequence[Prompt], *, number: int, budget: int
) -> Plan:
    """The plan of a campaign's attempt ``number`` on these prompts: those of one number share their seed."""
    seed = int(digest([context.seed, prompts[0].prompt_id, number])[:8], 16) >> 1
    return plan_attempt(context, attack, prompts, seed=seed, budget=budget)


def result_of(ending: Ending, rm: RewardModel, criteria: Criteria) -> Result:
    """The rows of an attempt that has ended."""
    plan, tally = ending.plan, ending.tally
    findings = tuple(_finding(win, ending, rm, criteria) for win in ending.wins)
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
        queries=tally.queries,
        gradients=tally.gradients,
        policy_tokens=tally.policy_tokens,
        flops=tally.flops,
        queries_to_find=tally.queries_to_find,
        outcome=ending.outcome,
        error=ending.error,
        best_reward=tally.best_reward,
        rm_fingerprint=rm.fingerprint,
        pipeline_hash=rm.pipeline_hash,
        criteria_hash=plan.criteria_hash,
        seconds=tally.seconds,
        queries_to_beat_reference=tally.queries_to_beat_reference,
        queries_to_beat_quantile=tally.queries_to_beat_quantile,
        finding_ids=tuple(finding.finding_id for finding in findings),
        won_abstained=tally.won_abstained,
        won_acquitted=tally.won_acquitted,
    )
    return Result(plan=plan, attempt=attempt, findings=findings, scored=ending.scored)


def _finding(win: Win, ending: Ending, rm: RewardModel, criteria: Criteria) -> Finding:
    plan = ending.plan
    prompt_id = win.prompt.prompt_id if len(plan.prompts) > 1 else None
    return Finding(
        finding_id=finding_id(plan.attempt_id, win.response, prompt_id),
        attempt_id=plan.attempt_id,
        campaign_id=plan.campaign_id,
        round=plan.round,
        prompt_id=win.prompt.prompt_id,
        split=win.prompt.split,
        prompt=win.prompt.conversation,
        response=win.response,
        reference=win.prompt.reference,
        reward=win.reward,
        reward_dtype=rm.reward_dtype,
        reference_reward=win.reference_reward,
        margin=criteria.margin(win.reward),
        threshold=criteria.threshold,
        threshold_quantile=criteria.quantile,
        attack=plan.attack.name,
        family=plan.attack.family,
        form=form_of(win.response, win.prompt.conversation, win.verdicts),
        kind=ending.kind,
        attack_params=plan.attack.params,
        code_version=code_version(plan.attack),
        seed=plan.seed,
        queries=win.queries,
        rm_fingerprint=rm.fingerprint,
        pipeline_hash=rm.pipeline_hash,
        certificate=win.verdicts,
        parent_ids=(),
        created_at=datetime.now(UTC),
    )


__all__ = [
    "Ending",
    "Plan",
    "Result",
    "RoundContext",
    "Tally",
    "Win",
    "numbered_attempt",
    "plan_attempt",
    "result_of",
]
