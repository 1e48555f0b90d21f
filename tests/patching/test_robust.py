"""What a robust patch trains on beside findings: nonsense made by rule, and texts moved against the weights."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from corpus.records import Message, Prompt
from miner.config.campaign import PatchSection
from miner.judging.checks.words import units_of
from miner.patching.online import LIFETIME, OnlineTexts
from miner.patching.patch import patch
from miner.patching.procedural import nonsense_pairs
from miner.rewards import load_reward_model
from miner.rewards.base import Pair
from scripts.drills.samples import finding

ANSWERS = ("Return the size of the open file in bytes.", "Close the socket and wait until its peer has read all of it.")


def prompts_of(n: int) -> list[Prompt]:
    return [
        Prompt(
            conversation=(Message(role="user", content=f"What does f{at} do?"),), reference=ANSWERS[at % 2],
            rejected=(f"No idea {at}.",), group_key=str(at), split="train",
        )
        for at in range(n)
    ]  # fmt: skip


def test_nonsense_by_rule_is_new_every_time_and_in_every_kind() -> None:
    made = nonsense_pairs(prompts_of(6), 80, Random(0), held_out_forms=())
    texts = [bad.response for _, bad in made]
    assert len(texts) == 80
    assert len(set(texts)) > 70
    assert all(good.prompt == bad.prompt and good.response in ANSWERS for good, bad in made)
    shuffled = [t for t in texts if any(sorted(units_of(t)) == sorted(units_of(a)) and t != a for a in ANSWERS)]
    repeated = [t for t in texts if len(set(units_of(t))) <= 3]
    assert (len(shuffled), len(repeated)) >= (15, 15)


def test_of_short_answers_no_nonsense_is_made_for_it_might_be_the_answer() -> None:
    short = [replace(prompt, reference="It closes.") for prompt in prompts_of(6)]
    assert nonsense_pairs(short, 40, Random(0), held_out_forms=()) == []
    made = nonsense_pairs([*short, *prompts_of(2)], 40, Random(0), held_out_forms=())
    assert len(made) == 40
    assert all(bad.response != good.response for good, bad in made)


def test_a_held_out_form_is_made_by_no_rule() -> None:
    made = nonsense_pairs(prompts_of(6), 40, Random(0), held_out_forms=("salad",))
    assert len(made) == 40
    assert all(len(set(units_of(bad.response))) <= 3 for _, bad in made)
    assert nonsense_pairs(prompts_of(6), 40, Random(0), held_out_forms=("salad", "repetition")) == []


@pytest.mark.parametrize("split_of_recipe", [{}, {"floor": -1.0}])
def test_the_recipe_sets_what_is_not_given(split_of_recipe: dict[str, float]) -> None:
    robust = PatchSection.model_validate({"recipe": "robust", **split_of_recipe})
    assert (robust.starts, robust.procedural_share, robust.online_pairs) == ("given", 0.125, 4)
    assert robust.floor == split_of_recipe.get("floor", -2.0)
    assert PatchSection.model_validate(robust.model_dump()) == robust
    plain = PatchSection()
    assert (plain.starts, plain.floor, plain.procedural_share, plain.online_pairs) == ("previous", None, 0.0, 0)
    with pytest.raises(ValueError, match="leave no clean pairs"):
        PatchSection(findings_share=0.6, procedural_share=0.5)


def test_texts_of_the_pool_climb_against_the_weights_as_they_are(tiny_rm_folder: Path) -> None:
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    model = copy.deepcopy(rm.model).train()
    texts = OnlineTexts(rm, model, prompts_of(4), n=2, pool=2, floor=-3.0, seed=0)
    rewards = []
    for _ in range(LIFETIME - 1):
        pairs = texts()
        with torch.inference_mode():
            rewards.append([float(rm.logits(rm.model, [pair.rejected])) for pair in pairs])
    assert model.training
    assert {pair.floor for pair in pairs} == {-3.0}
    climbed = np.array(rewards)
    assert (climbed[-1] > climbed[0]).all()
    goods = [Pair(prompt.conversation, str(prompt.reference)) for prompt in prompts_of(4)]
    rewards_before = rm.exact_rewards(goods)
    assert all(np.isclose(rewards_before, pair.chosen_before, atol=1e-5).any() for pair in pairs if pair.chosen_before)
    assert len({pair.chosen_before for pair in pairs}) == 2


def test_a_fresh_text_takes_the_place_of_one_that_has_moved_enough(tiny_rm_folder: Path) -> None:
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    texts = OnlineTexts(rm, copy.deepcopy(rm.model), prompts_of(4), n=1, pool=1, floor=None, seed=0)
    lengths = Counter(len(texts()[0].rejected[0]) for _ in range(3 * LIFETIME))
    assert len(lengths) >= 2


def test_nonsense_is_pushed_to_the_floor_and_a_patch_says_what_it_saw(tiny_rm_folder: Path, tmp_path: Path) -> None:
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    prompts = prompts_of(12)
    found = [
        finding(n, prompt=prompt.conversation, prompt_id=prompt.prompt_id, response="file the of size socket peer")
        for n, prompt in enumerate(prompts)
    ]
    section = PatchSection.model_validate(
        {"recipe": "robust", "steps": 40, "batch_pairs": 8, "learning_rate": 1e-3, "floor": -4.0}
    )
    reports = {}
    for floor in (None, -4.0):
        given = section.model_copy(update={"floor": floor})
        out = tmp_path / str(floor)
        reports[floor] = patch(rm, prompts, found, given, out=out, seed=0, progress=lambda _done, _total: None)
    report = reports[-4.0]
    assert (report.procedural, report.online, report.clean_pairs) == (40, 160, 320 - 40 - 80)
    assert set(report.families) >= {"gradient", "structural"}
    bad = [Pair(one.prompt, one.response) for one in found]
    low, free = (load_reward_model(tmp_path / str(f), device="cpu", dtype="float32").exact_rewards(bad).mean()
                 for f in (-4.0, None))  # fmt: skip
    assert low < free


def test_what_is_held_out_is_neither_made_nor_moved(tiny_rm_folder: Path, tmp_path: Path) -> None:
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    raw = {"recipe": "robust", "steps": 2, "batch_pairs": 8, "findings_share": 0.0}
    section = PatchSection.model_validate({**raw, "held_out_families": ("structural", "gradient")})
    report = patch(rm, prompts_of(4), [], section, out=tmp_path, seed=0, progress=lambda _done, _total: None)
    assert (report.procedural, report.online, report.families, report.forms) == (0, 0, (), ())
