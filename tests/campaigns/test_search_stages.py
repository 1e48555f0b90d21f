"""Attacks that start from findings, and attacks on many prompts together, inside a campaign's stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attacks.universal import Universal
from corpus.records import Prompt
from miner.campaigns.attacking import criteria_hash, driver_of, pool_for
from miner.campaigns.campaign import Campaign
from miner.errors import ConfigError
from miner.reporting.summarise import summarise
from miner.searching.mining import prompt_sets
from miner.testing import toy_prompts
from tests.campaigns.configs import config_for
from tests.campaigns.observing import Notes

ATTACKS = [
    {"name": "corrupt", "params": {"variants": 4}},
    {"name": "random", "params": {"width": 8}},
    {"name": "transfer", "params": {"n": 8, "width": 4}},
    {"name": "universal", "params": {"prompts": 4, "width": 6, "minibatch": 2}, "budget_queries": 120},
]


def config(rm: Path, data: Path, out: Path, **changes: Any) -> Any:
    return config_for(
        rm, data, out, **{"attacks": ATTACKS, "evaluate": {"prompts": 8, "budget_queries": 80}, **changes}
    )


@pytest.fixture(scope="module")
def cycled(tiny_rm_folder: Path, preference_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    campaign = Campaign(config(tiny_rm_folder, preference_file, tmp_path_factory.mktemp("run")))
    campaign.cycle()
    summarise(campaign, command="test").write(campaign.folder)
    return campaign


def seeds_of(campaign: Campaign, number: int, split: str) -> list[list[str]]:
    (path,) = campaign.folder.glob(f"calibration/seeds-{number}-{split}-*/*.json")
    stored: list[list[str]] = json.loads(path.read_text(encoding="utf-8"))["seeds"]
    return stored


@pytest.mark.parametrize("number", [0, 1])
def test_starts_come_from_train_prompts_of_older_rounds_alone(cycled: Campaign, number: int) -> None:
    of_response = {(f.prompt_id, f.response): f for f in cycled.findings()}
    pool = seeds_of(cycled, number, "held_out")
    assert pool
    for prompt_id, response in pool:
        finding = of_response[prompt_id, response]
        assert finding.split == "train"
        assert finding.round == 0


def test_a_search_is_never_given_its_own_prompts_findings(cycled: Campaign) -> None:
    driver = driver_of(cycled, 0, seeds=[(prompt_id, response) for prompt_id, response in seeds_of(cycled, 0, "train")])
    from attacks import Seeds

    own_id, own_response = driver.oracle.seeds[0]
    (own,) = [prompt for prompt in cycled.world.by_split["train"] if prompt.prompt_id == own_id]
    given = driver.oracle.answer_free(Seeds(512), [own])
    assert own_response not in given or own_response in [r for p, r in driver.oracle.seeds if p != own_id]
    assert len(given) == len({r for p, r in driver.oracle.seeds if p != own_id})


def test_running_again_makes_no_attempt_though_the_corpus_has_grown(cycled: Campaign) -> None:
    again = Campaign(cycled.config)
    assert again.mine(0).made == 0
    assert again.evaluate(0).made == 0
    assert again.evaluate(1).made == 0


def test_what_a_patch_must_not_see_is_no_start_of_what_it_may_train_on(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    patch = {"steps": 12, "batch_pairs": 8, "held_out_families": ["structural"]}
    campaign = Campaign(config(tiny_rm_folder, preference_file, tmp_path, patch=patch))
    campaign.mine(0)
    found = campaign.findings()
    assert {finding.family for finding in found} >= {"structural"}
    held_out = {(f.prompt_id, f.response) for f in found if f.family == "structural"}
    assert not held_out & {(p, r) for p, r in pool_for(campaign, 0, "train", newest=0, name="train")}
    assert held_out & {(p, r) for p, r in pool_for(campaign, 0, "held_out", newest=0, name="held_out")}, (
        "measuring may start from all"
    )


def test_a_seeded_search_does_not_feed_on_its_own_stage(cycled: Campaign) -> None:
    of_response = {(f.prompt_id, f.response): f for f in cycled.findings()}
    stages = [(0, "train"), (0, "held_out"), (1, "held_out")]
    assert len(list(cycled.folder.glob("calibration/seeds-*/*.json"))) == len(stages)
    for number, split in stages:
        pool = seeds_of(cycled, number, split)
        assert pool
        for prompt_id, response in pool:
            finding = of_response[prompt_id, response]
            assert finding.round < number or finding.attack != "transfer"


def test_another_pool_is_another_attempt(cycled: Campaign) -> None:
    pools: list[list[tuple[str, str]]] = [[], [("p", "some text")], [("p", "other text")]]
    assert len({criteria_hash(driver_of(cycled, 0, seeds=pool), ascii_only=False) for pool in pools}) == 3


def test_prompts_together_are_not_those_that_reach_is_measured_on(cycled: Campaign) -> None:
    attempts = cycled.attempts_of(0, "held_out")
    together = [attempt for attempt in attempts if attempt.attack == "universal"]
    evaluated = {attempt.prompt_ids[0] for attempt in attempts if attempt.attack == "random"}
    assert [len(attempt.prompt_ids) for attempt in together] == [4]
    assert not set(together[0].prompt_ids) & evaluated
    mined = [a for a in cycled.attempts_of(0, "train") if a.attack == "universal"]
    assert [len(attempt.prompt_ids) for attempt in mined] == [4, 4, 4]


def test_reach_leaves_a_findings_own_prompt_out_and_is_in_the_summary(cycled: Campaign) -> None:
    found = cycled.run.reaches(0)
    assert found
    by_id = {finding.finding_id: finding for finding in cycled.findings()}
    for one in found:
        finding = by_id[one.finding_id]
        assert finding.split == "held_out"
        expected = 8 if finding.attack == "universal" else 7
        assert len(one.wins) == len(one.beats_reference) == len(one.groups) == expected
    summary = json.loads((cycled.folder / "summary.json").read_text())
    rows = summary["rounds"][0]["reach"]
    assert {row["attack"] for row in rows} == {one.attack for one in found}
    for row in rows:
        assert row["best_wins"]["value"] >= row["median_wins"]
    assert "universal" not in {row["attack"] for row in summary["rounds"][0]["attacks"]}, "its attempts are no prompts"


def test_reach_is_what_scoring_the_text_on_each_prompt_says(cycled: Campaign) -> None:
    from miner.rewards import Pair

    one = cycled.run.reaches(0)[0]
    (finding,) = [f for f in cycled.findings() if f.finding_id == one.finding_id]
    prompts = cycled.world.sample("held_out", 8, seed=cycled.config.seed)
    others = [prompt for prompt in prompts if prompt.prompt_id != finding.prompt_id]
    rm = cycled.models.rm(0)
    beats = [
        rm.reward(Pair(p.conversation, one.response)) > rm.reward(Pair(p.conversation, str(p.reference)))
        for p in others
    ]
    assert list(one.beats_reference) == beats


def test_without_findings_to_start_from_it_says_so_and_stores_no_pool(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    notes = Notes()
    attacks = [{"name": "transfer"}, {"name": "random", "params": {"width": 8}}]
    campaign = Campaign(config(tiny_rm_folder, preference_file, tmp_path, attacks=attacks), notes)
    report = campaign.evaluate(0)
    assert report.made == 16
    assert any("mine first" in note for note in notes.notes)
    assert not list(tmp_path.glob("calibration/seeds-*"))


def test_too_few_prompts_for_a_universal_attack_leave_it_out_with_the_reason(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    notes = Notes()
    attacks = [
        {"name": "universal", "params": {"prompts": 500}, "budget_queries": 9000},
        {"name": "random", "params": {"width": 8}},
    ]
    campaign = Campaign(config(tiny_rm_folder, preference_file, tmp_path, attacks=attacks), notes)
    campaign.evaluate(0)
    assert {attempt.attack for attempt in campaign.corpus.attempts()} == {"random"}
    assert any("'universal' is left out" in note for note in notes.notes)


@pytest.mark.parametrize(
    ("n", "size", "expected"), [(12, 4, [4, 4, 4]), (14, 4, [4, 4, 6]), (3, 4, [3]), (5, 1, [1] * 5)]
)
def test_prompt_sets_share_all_prompts_out(n: int, size: int, expected: list[int]) -> None:
    attack = Universal(prompts=size)
    prompts: tuple[Prompt, ...] = toy_prompts(n)
    sets = prompt_sets(attack, prompts)
    assert [len(one) for one in sets] == expected
    assert [prompt for one in sets for prompt in one] == list(prompts)


@pytest.mark.parametrize("stage", ["mine", "evaluate"])
def test_a_budget_too_small_for_a_step_is_refused_with_what_it_takes(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, stage: str
) -> None:
    changes = {"attacks": [{"name": "gcg"}], stage: {"prompts": 8, "budget_queries": 15}}
    with pytest.raises(ConfigError, match=f"{stage}: 15 queries are too few for one step of 'gcg', which takes 16"):
        Campaign(config(tiny_rm_folder, preference_file, tmp_path, **changes))
