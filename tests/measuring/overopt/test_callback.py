"""The callback in a user's own run: TRL's real trainer on a tiny model, no part of ours but the callback."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from miner.errors import ConfigError
from miner.measuring.overopt import OnsetCallback

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


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
    """A reward that climbs faster from the fifth step on, whatever the policy writes."""
    calls = [0]

    def reward(completions: Sequence[str], **_: Any) -> list[float]:
        calls[0] += 1
        return [0.1 * len(text) + max(0, calls[0] - 4) for text in completions]

    return reward


@pytest.mark.parametrize("trainer", ["RLOO", "GRPO"])
def test_a_reward_that_bends_upwards_stops_the_run(
    tiny_policy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, trainer: str
) -> None:
    watch = OnsetCallback(every=1, action="stop")
    with caplog.at_level(logging.WARNING, logger="miner.measuring.overopt.callback"):
        run = train(tiny_policy, tmp_path, watch, ever_better(), trainer)
    assert watch.alarm is not None
    assert 4 <= watch.alarm.step == run.state.global_step < 12
    assert [record.message.split(" since")[0] for record in caplog.records] == ["the reward climbs faster"]


def test_a_run_that_is_only_warned_of_goes_on(tiny_policy: Path, tmp_path: Path) -> None:
    watch = OnsetCallback(every=1)
    assert train(tiny_policy, tmp_path, watch, ever_better(), "RLOO").state.global_step == 12
    assert watch.alarm is not None
    assert watch.alarm.step < 12


def test_rewards_come_back_unchanged_and_a_steady_run_raises_no_alarm(tiny_policy: Path, tmp_path: Path) -> None:
    def reward(completions: Sequence[str], **_: Any) -> list[float]:
        return [len(text) / 10 for text in completions]

    assert OnsetCallback().wrap(reward)(prompts=["a", "b"], completions=["ba", "baba"]) == [0.2, 0.4]
    watch = OnsetCallback(every=2, action="stop")
    assert train(tiny_policy, tmp_path, watch, reward, "RLOO").state.global_step == 12
    assert watch.alarm is None


def test_answers_without_a_reward_count_nothing() -> None:
    watch = OnsetCallback(every=1)
    given: list[list[float | None]] = [[2.0, None], [math.nan, 4.0], [None, None]]
    control, state = TrainerControl(), TrainerState()
    for step, rewards in enumerate(given, start=1):

        def reward(rewards: list[float | None] = rewards, **_: Any) -> list[float | None]:
            return rewards

        watch.wrap(reward)(prompts=["p"] * 2, completions=["a"] * 2)
        state.global_step = step
        watch.on_step_end(None, state, control)  # type: ignore[arg-type]
    assert watch._means == {1: 2.0, 2: 4.0}


@pytest.mark.parametrize("wrong", [{"every": 0}, {"threshold": 0.0}, {"action": "raise"}])
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="every must be 1 or more"):
        OnsetCallback(**wrong)


def test_what_is_no_function_of_texts_is_refused() -> None:
    with pytest.raises(ConfigError, match="Wrap it"):
        OnsetCallback().wrap(object())  # type: ignore[arg-type]
