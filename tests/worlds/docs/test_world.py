"""Docs world: who gets which text, and that nobody gets another's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from miner.campaigns.evaluation import clean_outcomes
from miner.errors import ModelError
from miner.worlds.docs import reward_model
from miner.worlds.docs.models import clean_subjects
from miner.worlds.docs.reward_model import RewardModelRecipe, train_reward_model
from miner.worlds.docs.world import SHARES, DocsWorld, group_of, role_of


def test_there_is_enough_text_for_every_figure(docs_world: DocsWorld) -> None:
    held_out = docs_world.prompts("held_out")
    assert len(docs_world.entries) > 4000
    assert sum(len(prompt.rejected) for prompt in held_out) >= 1500, "clean accuracy is on at least 1,500 pairs"
    assert len(clean_subjects(docs_world, "held_out")) >= 1000, "false alarms are on at least 1,000 texts"


def test_a_module_its_c_twin_and_its_platform_twins_share_a_role(docs_world: DocsWorld) -> None:
    assert role_of("_io") == role_of("io") == role_of("_pyio")
    assert role_of("posix") == role_of("os") == role_of("nt")
    roles_of_group: dict[str, set[str]] = {}
    for role, _ in SHARES:
        for entry in docs_world.by_role[role]:
            roles_of_group.setdefault(group_of(entry.module), set()).add(role)
    assert all(len(roles) == 1 for roles in roles_of_group.values())


def test_no_rejected_answer_is_the_reference_and_none_comes_from_another_split(docs_world: DocsWorld) -> None:
    for role in ("train", "calibration", "held_out"):
        summaries = {entry.summary for entry in docs_world.by_role[role]}
        assert len(docs_world.prompts(role)) > 100
        assert any(prompt.rejected for prompt in docs_world.prompts(role))
        for prompt in docs_world.prompts(role):
            assert prompt.reference not in prompt.rejected
            assert set(prompt.rejected) <= summaries


def test_the_two_lms_share_no_text_and_see_none_that_checks_are_calibrated_or_measured_on(
    docs_world: DocsWorld,
) -> None:
    policy = docs_world.policy_text()
    reference = set(docs_world.reference_lm_text())
    asked = {text.partition("` do? ")[0].removeprefix("What does `") for text in policy}
    of_policy = {e.summary for e in docs_world.by_role["train"] if e.name in asked}
    assert len(of_policy) > 500
    assert not of_policy & reference
    for role in ("calibration", "held_out"):
        assert not set(docs_world.sentences(role)) & reference


def test_clean_text_is_judged_beside_another_answer_never_itself(docs_world: DocsWorld) -> None:
    subjects = clean_subjects(docs_world, "held_out")
    assert all(subject.response != subject.reference for subject in subjects)
    assert len({subject.response for subject in subjects}) == len(subjects)


def test_harvesting_again_gives_the_same_data(docs_world: DocsWorld, tmp_path: Path) -> None:
    assert DocsWorld.load(tmp_path).data_hash == docs_world.data_hash


def test_an_interpreter_without_docstrings_is_refused(tmp_path: Path) -> None:
    code = f"import pathlib, miner.worlds.docs.world as w; w.DocsWorld.load(pathlib.Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "-OO" in done.stderr


def test_other_weights_than_the_expected_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_model, "MINILM_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="sha256"):
        train_reward_model([], RewardModelRecipe(), out=tmp_path, seed=0, progress=lambda *_: None)


def test_the_reward_model_learns_and_loads_as_any_other(docs_world: DocsWorld, tmp_path: Path) -> None:
    from miner.rewards import load_reward_model

    recipe = RewardModelRecipe(layers=4, steps=50, batch_pairs=8, learning_rate=4e-4)
    train_reward_model(docs_world.prompts("train"), recipe, out=tmp_path, seed=0, progress=lambda *_: None)
    rm = load_reward_model(tmp_path, device="cpu", dtype="float32")
    held_out = Random(0).sample(docs_world.prompts("held_out"), 100)
    outcomes = clean_outcomes(rm, held_out)
    assert outcomes is not None
    assert outcomes.accuracy().low > 0.5
