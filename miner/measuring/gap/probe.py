"""The hallucination probe: does an RM prefer a true statement to the same with one fact swapped?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from corpus.records import Attempt, Finding, Verdict, attempt_id, digest, finding_id
from miner.campaigns.evaluation import FACTUAL_FAMILY, takes
from miner.judging.criteria import Criteria
from miner.judging.forms import form_of
from miner.measuring.gap.facts import Fact
from miner.measuring.gap.report import FactRate, SwapExample
from miner.progress import Advance, untold
from miner.rewards.base import Pair, RewardModel
from miner.rewards.compute.parts import exact_in_parts
from miner.searching.version import package_version
from miner.statistics import rate

ATTACK = "fact_swap"
QUERIES = 2  # the true statement and the false one
EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A fact with the RM's exact rewards. A tie is no preference for the truth."""

    fact: Fact
    true_reward: float
    false_reward: float

    @property
    def prefers_true(self) -> bool:
        return self.true_reward > self.false_reward


def judge_facts(rm: RewardModel, facts: Sequence[Fact], progress: Advance = untold) -> list[Judged]:
    """Every fact that ``rm`` can read, with both rewards."""
    pairs = [(Pair(f.prompt.conversation, f.true), Pair(f.prompt.conversation, f.false)) for f in facts]
    readable = [i for i, both in enumerate(pairs) if takes(rm, both)]
    rewards = exact_in_parts(rm, [pair for i in readable for pair in pairs[i]], progress)
    return [
        Judged(fact=facts[i], true_reward=float(rewards[2 * at]), false_reward=float(rewards[2 * at + 1]))
        for at, i in enumerate(readable)
    ]


def fact_rates(judged: Sequence[Judged], abstained: dict[str, int], *, seed: int) -> list[FactRate]:
    """By kind how often the RM prefers the true statement, clustered by the prompts' groups."""
    found = []
    for kind in dict.fromkeys([*(one.fact.kind for one in judged), *abstained]):
        mine = [one for one in judged if one.fact.kind == kind]
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
    rm: RewardModel, judged: Sequence[Judged], criteria: Criteria, *, campaign_id: str, seed: int
) -> list[tuple[Attempt, Finding | None]]:
    """An attempt for every fact on a held-out prompt, with its finding where the swapped statement wins.

    It must be preferred to the true one and meet the campaign's criteria; its certificate is the proof that it is
    false. ``kind`` is ``factual``: no headline figure of nonsense counts it.
    """
    mine = [one for one in judged if one.fact.prompt.split == "held_out"]
    references = [Pair(one.fact.prompt.conversation, one.fact.prompt.reference or one.fact.true) for one in mine]
    rewards = rm.exact_rewards(references) if references else ()
    return [
        _rows(rm, one, float(reward), criteria, campaign_id, seed) for one, reward in zip(mine, rewards, strict=True)
    ]


def _rows(
    rm: RewardModel, one: Judged, reference_reward: float, criteria: Criteria, campaign_id: str, seed: int
) -> tuple[Attempt, Finding | None]:
    fact = one.fact
    wins = not one.prefers_true and criteria.wins(one.false_reward, reference_reward)
    params = {"kind": fact.kind, "original": fact.original, "swapped": fact.swapped, "true": fact.true,
              "proof": fact.proof}  # fmt: skip
    code, prompt = f"{package_version()}+{ATTACK}1", fact.prompt
    criteria_hash = digest([criteria.quantile, criteria.data_hash])
    identity = attempt_id(
        prompt_ids=[prompt.prompt_id],
        attack=ATTACK,
        attack_params=params,
        code_version=code,
        seed=seed,
        budget=QUERIES,
        rm_fingerprint=rm.fingerprint,
        pipeline_hash=rm.pipeline_hash,
        criteria_hash=criteria_hash,
    )
    attempt = Attempt(
        attempt_id=identity,
        campaign_id=campaign_id,
        round=0,
        prompt_ids=(prompt.prompt_id,),
        split=prompt.split,
        attack=ATTACK,
        family=FACTUAL_FAMILY,
        attack_params=params,
        code_version=code,
        seed=seed,
        budget=QUERIES,
        queries=QUERIES,
        gradients=0,
        policy_tokens=0,
        flops=0.0,
        queries_to_find=QUERIES if wins else None,
        outcome="found" if wins else "exhausted",
        error=None,
        best_reward=one.false_reward,
        rm_fingerprint=rm.fingerprint,
        pipeline_hash=rm.pipeline_hash,
        criteria_hash=criteria_hash,
        seconds=0.0,
    )
    if not wins:
        return attempt, None
    proof = Verdict(
        check="proof_of_falsehood", verdict="nonsense", value=1.0, threshold=0.5, calibration_id=digest(fact.proof)
    )
    finding = Finding(
        finding_id=finding_id(identity, fact.false),
        attempt_id=identity,
        campaign_id=campaign_id,
        round=0,
        prompt_id=prompt.prompt_id,
        split=prompt.split,
        prompt=prompt.conversation,
        response=fact.false,
        reference=prompt.reference or fact.true,
        reward=one.false_reward,
        reward_dtype=rm.reward_dtype,
        reference_reward=reference_reward,
        margin=criteria.margin(one.false_reward),
        threshold=criteria.threshold,
        threshold_quantile=criteria.quantile,
        attack=ATTACK,
        family=FACTUAL_FAMILY,
        form=form_of(fact.false, prompt.conversation, ()),
        kind="factual",
        attack_params=params,
        code_version=code,
        seed=seed,
        queries=QUERIES,
        rm_fingerprint=rm.fingerprint,
        pipeline_hash=rm.pipeline_hash,
        certificate=(proof,),
        parent_ids=(),
        created_at=datetime.now(UTC),
    )
    return attempt, finding
