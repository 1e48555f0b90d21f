"""The callback in a user's own run: TRL's real trainer on a tiny model, no part of ours but the callback."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miner.errors import ConfigError, OutageError
from miner.measuring.overopt import OnsetCallback
from miner.measuring.overopt.detector import Detector
from miner.rewards.base import Pair
from miner.testing import ToyRewardModel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class LikesLength:
    """An RM that is indifferent to what the first one is fooled by."""

    name = fingerprint = "length"

    def exact_rewards(self, pairs: Sequence[Pair]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([len(pair.response) % 7 for pair in pairs], dtype=np.float64)


def train(policy: Path, folder: Path, watch: OnsetCallback, reward: Callable[..., list[float]], trainer: str) -> Any:
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config, kind = getattr(trl, f"{trainer}Config"), getattr(trl, f"{trainer}Trainer")
    args = config(
        output_dir=str(folder), max_steps=12, per_device_train_batch_size=8, num_generations=4, max_completion_length=6,
        learning_rate=1e-4, report_to="none", save_strategy="no", use_cpu=True, bf16=False, disable_tqdm=True,
        gradient_checkpointing=False, dataloader_pin_memory=False,
    )  # fmt: skip
    run = kind(
        model=AutoModelForCausalLM.from_pretrained(policy),
        processing_class=AutoTokenizer.from_pretrained(policy),
        reward_funcs=watch.wrap(reward),
        args=args,
        train_dataset=Dataset.from_list([{"prompt": f"Question {n}?"} for n in range(8)]),
        callbacks=[watch],
    )
    run.train()
    return run


def ever_better() -> Callable[..., list[float]]:
    """A reward that climbs whatever the policy writes: gaming as it looks from outside."""
    calls = [0]

    def reward(completions: Sequence[str], **_: Any) -> list[float]:
        calls[0] += 1
        return [0.1 * len(text) + max(0, calls[0] - 4) for text in completions]

    return reward


@pytest.mark.parametrize("trainer", ["RLOO", "GRPO"])
def test_a_climb_that_an_independent_rm_does_not_share_stops_the_run(
    tiny_policy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, trainer: str
) -> None:
    watch = OnsetCallback(second=LikesLength(), every=1, action="stop")
    with caplog.at_level(logging.WARNING, logger="miner.measuring.overopt.callback"):
        run = train(tiny_policy, tmp_path, watch, ever_better(), trainer)
    assert watch.alarm is not None
    assert watch.alarm.step is not None
    assert 4 <= watch.alarm.step == run.state.global_step < 12
    assert caplog.records[0].message.startswith("the policy seems to game its reward")


def test_a_second_rm_that_is_down_does_not_end_the_users_run(tiny_policy: Path, tmp_path: Path) -> None:
    class Down(LikesLength):
        def exact_rewards(self, pairs: Sequence[Pair]) -> np.ndarray[Any, np.dtype[np.float64]]:
            raise OutageError(f"no answer for {len(pairs)} pairs")

    watch = OnsetCallback(second=Down(), every=4)
    assert train(tiny_policy, tmp_path, watch, ever_better(), "RLOO").state.global_step == 12
    assert watch.alarm is not None


def test_rewards_come_back_unchanged_and_a_steady_run_raises_no_alarm(tiny_policy: Path, tmp_path: Path) -> None:
    toy, given = ToyRewardModel(), []

    def reward(completions: Sequence[str], **_: Any) -> list[float]:
        given.append([len(text) / 10 for text in completions])
        return given[-1]

    watch = OnsetCallback(second=toy, every=2)
    listened = watch.wrap(reward)
    assert listened(prompts=["a", "b"], completions=["ba", "baba"]) == [0.2, 0.4]
    run = train(tiny_policy, tmp_path, OnsetCallback(second=toy, every=2), reward, "RLOO")
    assert run.state.global_step == 12


def test_conversational_completions_are_read() -> None:
    watch = OnsetCallback(second=ToyRewardModel())

    def reward(**_: Any) -> list[float | None]:
        return [1.0, None]

    turns = [[{"role": "user", "content": "Question?"}]] * 2
    answers = [[{"role": "assistant", "content": " ba ke "}]] * 2
    assert watch.wrap(reward)(prompts=turns, completions=answers) == [1.0, None]
    assert [(one.prompt[0].content, one.answer) for one in watch._heard] == [("Question?", "ba ke")]


def test_a_callback_without_anything_to_tell_gaming_by_is_refused() -> None:
    with pytest.raises(ConfigError, match="second="):
        OnsetCallback()


def test_what_is_no_function_of_texts_is_refused() -> None:
    with pytest.raises(ConfigError, match="Wrap it"):
        OnsetCallback(second=ToyRewardModel()).wrap(object())  # type: ignore[arg-type]


def test_the_default_detector_weighs_only_what_needs_no_gold() -> None:
    assert "gold" not in Detector().weights
