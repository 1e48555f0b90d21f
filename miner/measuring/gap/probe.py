"""The hallucination probe: does an RM prefer a true statement to the same with one fact swapped?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from corpus.records import Attempt, Finding, Verdict, digest
from miner.judging.criteria import Criteria
from miner.measuring.gap.fact_swap import QUERIES, FactSwap
from miner.measuring.gap.facts import Fact
from miner.measuring.gap.report import FactRate, SwapExample
from miner.progress import Advance, untold
from miner.rewards.base import Pair, RewardModel
from miner.rewards.compute.parts import exact_in_parts
from miner.searching.attempts import Ending, RoundContext, Tally, Win, plan_attempt, result_of
from miner.searching.confirmation import Confirmation
from miner.statistics import rate

EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredFact:
    """A fact with the RM's exact rewards. A tie is no preference for the truth."""

    fact: Fact
    true_reward: float
    false_reward: float

    @property
    def prefers_true(self) -> bool:
        return self.true_reward > self.false_reward


def score_facts(rm: RewardModel, facts: Sequence[Fact], progress: Advance = untold) -> list[ScoredFact]:
    """Every fact that ``rm`` can read, with both rewards."""
    pairs = [(Pair(f.prompt.conversation, f.true), Pair(f.prompt.conversation, f.false)) for f in facts]
    readable = [i for i, both in enumerate(pairs) if all(map(rm.takes, both))]
    rewards = exact_in_parts(rm, [pair for i in readable for pair in pairs[i]], progress)
    return [
        ScoredFact(fact=facts[i], true_reward=float(rewards[2 * at]), false_reward=float(rewards[2 * at + 1]))
        for at, i in enumerate(readable)
    ]


def fact_rates(scored: Sequence[ScoredFact], abstained: dict[str, int], *, seed: int) -> list[FactRate]:
    """By kind how often the RM prefers the true statement, clustered by the prompts' groups."""
    found = []
    for kind in dict.fromkeys([*(one.fact.kind for one in scored), *abstained]):
        mine = [one for one in scored if one.fact.kind == kind]
        if not mine:
            continue
        groups = [one.fact.prompt.group_key or one.fact.prompt.prompt_id for one in mine]
        fooled = sorted(
            (one for one in mine if not one.prefers_true), key=lambda one: one.true_reward - one.false_reward
        )
        found.append(
            FactRate(
                kind=kind,
                prefers_true=rate([one.prefers_true for one in mine], groups=groups, seed=seed),
                mean_gap=sum(one.true_reward - one.false_reward for one in mine) / len(mine),
                abstained=abstained.get(kind, 0),
                examples=[
                    SwapExample(
                        prompt=one.fact.prompt.conversation[-1].content,
                        true=one.fact.true,
                        false=one.fact.false,
                        true_reward=one.true_reward,
                        false_reward=one.false_reward,
                        proof=one.fact.proof,
                    )
                    for one in fooled[:EXAMPLES]
                ],
            )
        )
    return found


def factual_findings(
    scored: Sequence[ScoredFact], criteria: Criteria, context: RoundContext
) -> list[tuple[Attempt, Finding | None]]:
    """An attempt for every fact on a held-out prompt, with its finding where the swapped statement wins.

    It must be preferred to the true one and meet the campaign's criteria; its certificate is the proof that it is
    false. ``kind`` is ``factual``: no headline figure of nonsense counts it.
    """
    mine = [one for one in scored if one.fact.prompt.split == "held_out"]
    confirmation = Confirmation(rm=context.rm, criteria=criteria)
    references = confirmation.reference_rewards([Pair(one.fact.prompt.conversation, _reference(one)) for one in mine])
    wins = _wins(mine, references, confirmation)
    results = [
        result_of(_ending(*one, context), context.rm, criteria) for one in zip(mine, references, wins, strict=True)
    ]
    return [(result.attempt, next(iter(result.findings), None)) for result in results]


def _wins(mine: Sequence[ScoredFact], references: Sequence[float | None], confirmation: Confirmation) -> list[bool]:
    """Where the swapped statement is preferred to the true one and wins."""
    preferred = [(one, reference) for one, reference in zip(mine, references, strict=True) if not one.prefers_true]
    pairs = [Pair(one.fact.prompt.conversation, one.fact.false) for one, _ in preferred]
    rewards = iter(confirmation.rewards(pairs, [confirmation.bar(reference) for _, reference in preferred]))
    return [
        not one.prefers_true and confirmation.wins(float(next(rewards)), reference)
        for one, reference in zip(mine, references, strict=True)
    ]


def _reference(one: ScoredFact) -> str:
    return one.fact.prompt.reference or one.fact.true


def _ending(one: ScoredFact, reference_reward: float | None, wins: bool, context: RoundContext) -> Ending:
    fact, prompt = one.fact, replace(one.fact.prompt, reference=_reference(one))
    attack = FactSwap(
        kind=fact.kind,
        original=fact.original,
        swapped=fact.swapped,
        true=fact.true,
        false=fact.false,
        proof=fact.proof,
    )
    proof = Verdict(
        check="proof_of_falsehood", verdict="nonsense", value=1.0, threshold=0.5, calibration_id=digest(fact.proof)
    )
    win = Win(
        prompt=prompt,
        response=fact.false,
        reward=context.rm.reward(Pair(prompt.conversation, fact.false)) if wins else one.false_reward,
        reference_reward=reference_reward,
        verdicts=(proof,),
        queries=QUERIES,
    )
    return Ending(
        plan=plan_attempt(context, attack, [prompt], seed=context.seed, budget=QUERIES),
        outcome="found" if wins else "exhausted",
        tally=Tally(queries=QUERIES, best_reward=one.false_reward, queries_to_find=QUERIES if wins else None),
        wins=(win,) if wins else (),
        kind="factual",
    )
