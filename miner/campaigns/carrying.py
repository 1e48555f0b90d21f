"""Carries texts that won against older RMs along to a patched one, over RMs whose weights lie between the two.

At every stage of the way each text is bent, by the attack that will use it, until it wins there or its share of the
budget is spent. What that takes is booked on the attempt that starts from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from attacks.carried import CarriedAlong
from corpus.records import Finding, Prompt, digest
from miner.campaigns.opening import OpenCampaign
from miner.campaigns.requirements import patch_findings
from miner.judging.criteria import bar_setting_pairs, criteria_of
from miner.searching.attempts import Result, RoundContext, numbered_attempt
from miner.searching.driver import Driver
from miner.searching.oracle import CarriedTexts, Oracle
from miner.worlds.world import spread

BAR_PROMPTS = 256  # that say where the bar of an RM on the way is: a milestone, no figure


@dataclass(frozen=True, slots=True)
class CarriedPool:
    """The carried texts of a stage's prompts, as a run keeps them."""

    carried: tuple[CarriedTexts, ...]


def carried_to(
    campaign: OpenCampaign, round_number: int, attack: CarriedAlong, prompts: Sequence[Prompt], budget: int
) -> Mapping[str, CarriedTexts]:
    """Per prompt the texts that ``attack``, with ``budget`` queries an attempt, starts from against the RM of
    ``round_number``. Each stage of the way is made once, and kept."""
    pool = CarriedPool(_starts(campaign, round_number, prompts, attack.starts))
    each = int(attack.share * budget / attack.stages) if attack.stages else 0
    if each >= attack.min_budget and any(one.texts for one in pool.carried):
        for stage in range(1, attack.stages + 1):
            made_from = [round_number, stage, each, attack.params, pool_of_carried(pool.carried)]
            name = f"carried-{round_number}-{prompts[0].split}-{stage}"
            bend = partial(_bent, campaign, round_number, attack, prompts, pool, stage, each)
            pool = campaign.run.once(name, made_from, CarriedPool, bend)
    return {one.prompt_id: one for one in pool.carried}


def pool_of_carried(carried: Iterable[CarriedTexts]) -> str:
    """Identity of what attempts start from."""
    return digest([[one.prompt_id, list(one.texts), one.queries] for one in carried])


def _starts(campaign: OpenCampaign, round_number: int, prompts: Sequence[Prompt], n: int) -> tuple[CarriedTexts, ...]:
    """Per prompt up to ``n`` texts that won in earlier rounds, the newest round first: on this prompt or, where nothing
    did, on others of the train split. Where finds may be trained on, what the patch must not see is no start."""
    on_train = prompts[0].split == "train"
    findings = patch_findings(campaign) if on_train else campaign.findings()
    known = [one for one in findings if one.round < round_number and one.kind == "nonsense"]
    known.sort(key=lambda one: (-one.round, -one.margin, one.finding_id))
    elsewhere = _texts(one for one in known if one.split == "train")[:n]
    own: dict[str, list[Finding]] = {}
    for one in known:
        own.setdefault(one.prompt_id, []).append(one)
    return tuple(
        CarriedTexts(prompt_id=prompt.prompt_id, texts=_texts(own.get(prompt.prompt_id, ()))[:n] or elsewhere)
        for prompt in prompts
    )


def _texts(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.response for one in findings))


def _bent(
    campaign: OpenCampaign,
    round_number: int,
    attack: CarriedAlong,
    prompts: Sequence[Prompt],
    pool: CarriedPool,
    stage: int,
    budget: int,
) -> CarriedPool:
    """The texts after one stage of the way: the furthest one of each prompt before those that it came from."""
    share = stage / (attack.stages + 1)
    config, models = campaign.config, campaign.models
    title = f"round {round_number}: carrying texts along, {share:.0%} of the way"
    with campaign.usage.timed(f"attack {round_number}"), campaign.observer.stage(title) as advance:
        rm = models.between(round_number, share)
        calibration = campaign.world.by_split["calibration"]
        clean = bar_setting_pairs(rm, spread(calibration, min(BAR_PROMPTS, len(calibration)), seed=config.seed))
        driver = Driver(
            oracle=Oracle(rm=rm, carried={one.prompt_id: _unpaid(one) for one in pool.carried}),
            criteria=criteria_of(rm, clean, quantile=config.criteria.quantile),
            certifier=models.certifier,
            in_flight=config.in_flight,
            keep_queries=True,
        )
        context = RoundContext(
            campaign_id=campaign.campaign_id, round=round_number, rm=rm, criteria_hash="", seed=config.seed
        )
        plans = [
            numbered_attempt(context, attack, [prompt], number=stage, budget=budget)
            for prompt, one in zip(prompts, pool.carried, strict=True)
            if one.texts
        ]
        made: dict[str, Result] = {}
        for result in driver.run(plans):
            made[result.plan.prompts[0].prompt_id] = result
            advance(len(made), len(plans))
    return CarriedPool(
        tuple(_moved(one, made[one.prompt_id], attack.starts) if one.prompt_id in made else one for one in pool.carried)
    )


def _unpaid(one: CarriedTexts) -> CarriedTexts:
    """The same texts at no cost: what they have cost so far does not count against this stage's budget."""
    return CarriedTexts(prompt_id=one.prompt_id, texts=one.texts)


def _moved(before: CarriedTexts, result: Result, n: int) -> CarriedTexts:
    attempt = result.attempt
    best = max(result.scored, key=lambda one: one.reward, default=None)
    reached = [*(one.response for one in result.findings), *([best.response] if best else [])]
    return CarriedTexts(
        prompt_id=before.prompt_id,
        texts=tuple(dict.fromkeys([*reached, *before.texts]))[:n],
        queries=before.queries + attempt.queries,
        gradients=before.gradients + attempt.gradients,
        flops=before.flops + attempt.flops,
        seconds=before.seconds + attempt.seconds,
    )
