"""Attacks that know the RM before its patch: carried along the weights, and led by the old gradient."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attacks.carried import CarriedAlong
from corpus.records import Attempt
from miner.campaigns.campaign import Campaign
from miner.campaigns.carrying import carried_to
from miner.campaigns.evaluation import cost_ratios
from miner.campaigns.stages import evaluate_round
from miner.config.campaign import CampaignConfig
from miner.patching.trainable import trainable
from miner.reporting.summarise import summarise
from miner.reporting.summary import read_summary
from miner.rewards.base import Pair
from tests.campaigns.attempts import attempt
from tests.campaigns.configs import config_for

ATTACKS = [
    {"name": "corrupt", "params": {"variants": 4}},
    {"name": "gcg", "params": {"width": 6, "n_words": 6}},
    {"name": "random", "params": {"width": 6}},
]


@pytest.fixture(scope="module")
def cycled(tiny_rm_folder: Path, preference_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    config = config_for(
        tiny_rm_folder, preference_file, tmp_path_factory.mktemp("run"), attacks=ATTACKS,
        mine={"prompts": 12, "budget_queries": 80}, evaluate={"prompts": 8, "budget_queries": 80},
    )  # fmt: skip
    campaign = Campaign(config)
    campaign.cycle()
    summarise(campaign, command="test").write(campaign.folder)
    return campaign


def attempts(campaign: Campaign, round_number: int) -> dict[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = {}
    for one in campaign.attempts_of(round_number, "held_out"):
        found.setdefault(one.attack, []).append(one)
    return found


def test_patched_rms_are_attacked_adaptively_with_the_parameters_of_gcg_and_the_one_given_is_not(
    cycled: Campaign,
) -> None:
    assert set(attempts(cycled, 0)) == {"corrupt", "gcg", "random"}
    assert set(attempts(cycled, 1)) == {"corrupt", "gcg", "random", "carried", "surrogate"}
    for one in (*attempts(cycled, 1)["carried"], *attempts(cycled, 1)["surrogate"]):
        assert (one.budget, one.attack_params["width"], one.outcome != "error") == (80, 6, True), one.error


def test_carrying_is_booked_and_kept(cycled: Campaign) -> None:
    pools = sorted(cycled.folder.glob("calibration/carried-1-held_out-*/*.json"))
    assert [path.parent.name.split("-")[3] for path in pools] == ["1", "2", "3"]
    carried = {one["prompt_id"]: one for one in json.loads(pools[-1].read_text(encoding="utf-8"))["carried"]}
    made = {one.prompt_ids[0]: one for one in attempts(cycled, 1)["carried"]}
    assert carried.keys() == made.keys()
    assert any(one["queries"] for one in carried.values())
    for prompt_id, one in made.items():
        assert carried[prompt_id]["queries"] <= one.queries <= one.budget
        assert one.queries_to_find is None or one.queries_to_find > carried[prompt_id]["queries"]


def test_running_again_makes_nothing_anew(cycled: Campaign) -> None:
    report = evaluate_round(Campaign(cycled.config), 1)
    assert (report.made, report.skipped) == (0, 40)


def test_on_the_line_between_two_rms_lie_their_rewards(cycled: Campaign) -> None:
    models, prompts = cycled.models, cycled.world.by_split["held_out"][:4]
    pairs = [Pair(prompt.conversation, str(prompt.reference)) for prompt in prompts]
    rewards = [models.between(1, share).exact_rewards(pairs) for share in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(rewards[0], models.beside(0).exact_rewards(pairs), atol=1e-5)
    np.testing.assert_allclose(rewards[2], models.beside(1).exact_rewards(pairs), atol=1e-5)
    weights = [
        next(trainable(rm).model.parameters())
        for rm in (models.beside(0), models.between(1, 0.25), models.beside(1))
    ]  # fmt: skip
    assert not (weights[0] == weights[2]).all()
    np.testing.assert_allclose(weights[1], 0.75 * weights[0] + 0.25 * weights[2], atol=1e-6)


def test_texts_of_the_prompt_itself_are_carried_where_it_has_some(cycled: Campaign) -> None:
    held_out = cycled.world.sample("held_out", 8, seed=cycled.config.seed)
    own = {one.prompt_id: one.response for one in cycled.findings() if one.round == 0}
    carried = carried_to(cycled, 1, CarriedAlong(stages=0, starts=64), held_out, budget=80)
    assert {prompt.prompt_id for prompt in held_out} == carried.keys()
    assert own.keys() & carried.keys()
    for prompt_id in own.keys() & carried.keys():
        assert own[prompt_id] in carried[prompt_id].texts
    everything = {one.response for one in cycled.findings() if one.round == 0}
    assert all(set(one.texts) <= everything and one.texts for one in carried.values())


def test_what_a_patch_may_train_on_starts_from_nothing_that_it_must_not_see(cycled: Campaign) -> None:
    """Held-out finds would come back in train prompts' texts, and from there into the next patch."""
    train, held_out = cycled.world.by_split["train"], cycled.world.by_split["held_out"]
    attack = CarriedAlong(stages=0, starts=512)
    allowed = {one.response for one in cycled.findings() if one.split == "train" and one.family != "random"}
    own = {(one.prompt_id, one.response) for one in cycled.findings() if one.split == "held_out"}
    assert {text for _, text in own} - allowed
    started = [text for one in carried_to(cycled, 1, attack, train, budget=80).values() for text in one.texts]
    assert started
    assert set(started) <= allowed
    for prompt_id, one in carried_to(cycled, 1, attack, held_out, budget=80).items():
        assert all((prompt_id, text) in own or text in allowed for text in one.texts)


def test_the_surrogate_s_gradient_is_the_old_rm_s(cycled: Campaign) -> None:
    from attacks import SurrogateSwaps, Swaps
    from miner.campaigns.attacking import driver_of

    prompt = cycled.world.by_split["held_out"][0]
    text = str(prompt.reference)
    driver = driver_of(cycled, 1, surrogate=cycled.models.beside(0))
    (of_old,) = driver.oracle.by_gradient([(SurrogateSwaps(text, 3), [prompt])])
    (of_new,) = driver.oracle.by_gradient([(Swaps(text, 3), [prompt])])
    (expected,) = driver_of(cycled, 0).oracle.by_gradient([(Swaps(text, 3), [prompt])])
    assert of_old == expected
    assert of_old != of_new


def test_the_summary_compares_costs_with_the_rm_as_given(cycled: Campaign) -> None:
    (given, patched) = read_summary(cycled.folder)["rounds"]
    assert given["costs"] == []
    costs = {one["attack"]: one for one in patched["costs"]}
    assert {name: one["against"] for name, one in costs.items()} == {
        "carried": "gcg", "corrupt": "corrupt", "gcg": "gcg", "random": "random", "surrogate": "gcg"
    }  # fmt: skip
    assert {one["attack"]: one["adaptive"] for one in patched["attacks"]}["carried"]


def tried(attack: str, prompts: str, *queries: int | None, budget: int = 100) -> list[Attempt]:
    outcomes = [{"outcome": "found", "queries_to_find": one} if one else {} for one in queries]
    made = [attempt(n, attack=attack, budget=budget, **one) for n, one in enumerate(outcomes)]
    return [replace(one, prompt_ids=(prompt,), seed=0) for one, prompt in zip(made, prompts, strict=True)]


def test_costs_are_paired_by_prompt_and_cut_at_the_budget() -> None:
    before = tried("gcg", "abc", 10, 10, 10)
    (found,) = cost_ratios(tried("gcg", "abcd", 20, 40, None, 5), before, seen_families=())
    assert found.ratio.value == pytest.approx(160 / 30)
    assert (found.ratio.n, found.unbroken) == (3, 1)
    (adapted,) = cost_ratios(tried("carried", "abc", 30, 30, 30), before, seen_families=())
    assert (adapted.against, adapted.adaptive) == ("gcg", True)
    assert (adapted.ratio.value, adapted.ratio.low) == (3.0, 3.0)
    assert cost_ratios(tried("gcg", "abc", 30, 30, 30, budget=50), before, seen_families=()) == []


def test_no_adaptive_attack_where_it_is_not_asked_for(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    config: CampaignConfig = config_for(tiny_rm_folder, preference_file, tmp_path, attacks=ATTACKS)
    names = [one.name for one in config.evaluated_attacks(1)]
    assert names == ["corrupt", "gcg", "random", "carried", "surrogate"]
    without = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"adaptive": False})})
    assert [one.name for one in without.evaluated_attacks(1)] == ["corrupt", "gcg", "random"]
    assert [one.name for one in config.evaluated_attacks(0)] == ["corrupt", "gcg", "random"]
