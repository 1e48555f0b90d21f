"""Pools: drawn once, judged again where gold was down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from corpus.records import Prompt
from miner.judging.gold import Answer
from miner.language_models import LanguageModel, load_language_model
from miner.measuring.best_of_n import Pool
from miner.measuring.overopt.pools import POOL, PoolSettings, draw_pools, read_pools
from miner.testing import ToyRewardModel, toy_prompts

PROMPTS = toy_prompts(3)
SETTINGS = PoolSettings(n=8, prompts=3, max_new_tokens=6)


class Judge:
    """Gold that is down for some prompts, and keeps what it was asked."""

    name = fingerprint = "judge"
    needs_reference = False

    def __init__(self, down: Sequence[Prompt] = ()) -> None:
        self.down, self.asked = {prompt.conversation for prompt in down}, list[Answer]()

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        self.asked += answers
        return [None if one.prompt in self.down else float(len(one.response)) for one in answers]


@pytest.fixture(scope="module")
def policy(tiny_policy: Path) -> LanguageModel:
    return load_language_model(tiny_policy, device="cpu")


def draw(folder: Path, policy: LanguageModel, gold: Judge) -> dict[str, Pool]:
    return draw_pools(
        folder,
        policy=policy,
        prompts=PROMPTS,
        rm=ToyRewardModel(),
        gold=gold,
        nonsense=lambda prompts, _: [np.nan] * len(prompts),
        settings=SETTINGS,
        identity=["one"],
    )


def test_a_gold_that_was_down_is_asked_again_for_those_prompts_alone(
    policy: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = draw(tmp_path / "whole", policy, Judge())
    torn = draw(tmp_path / "torn", policy, Judge(down=PROMPTS[1:2]))
    assert [np.isnan(pool.gold).all() for pool in torn.values()] == [False, True, False]

    monkeypatch.setattr(LanguageModel, "sample", None)
    later = Judge()
    mended = draw(tmp_path / "torn", policy, later)
    assert {one.prompt for one in later.asked} == {PROMPTS[1].conversation}
    for found in (mended, read_pools(tmp_path / "torn")):
        for prompt_id, pool in whole.items():
            assert found[prompt_id].gold == pytest.approx(pool.gold)
            assert found[prompt_id].proxy == pytest.approx(pool.proxy)


def test_a_gold_that_stays_down_changes_nothing_that_is_stored(policy: LanguageModel, tmp_path: Path) -> None:
    draw(tmp_path, policy, Judge(down=PROMPTS[1:2]))
    before = (tmp_path / POOL).stat().st_mtime_ns
    still = Judge(down=PROMPTS)
    draw(tmp_path, policy, still)
    assert still.asked
    assert (tmp_path / POOL).stat().st_mtime_ns == before
