"""Warns of, or stops, a user's own TRL run when its reward's climb bends upwards.

    watch = OnsetCallback(action="stop")
    trainer = GRPOTrainer(..., reward_funcs=watch.wrap(my_reward), callbacks=[watch])

It samples nothing: the reward function is listened to. Rewards come back unchanged.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from miner.errors import ConfigError
from miner.measuring.overopt.alarm import THRESHOLD, bend_seen
from miner.measuring.overopt.results import Alarm

logger = logging.getLogger(__name__)

RewardFunction = Callable[..., Sequence[float | None]]


class OnsetCallback(TrainerCallback):
    """Looks every ``every`` steps whether the mean reward bends upwards, by a t of at least ``threshold``.

    ``action`` "warn" logs a warning once, "stop" ends the training as well. ``alarm`` is the first bend that passed the
    threshold, None before.

    Raises:
        ConfigError: ``every`` or ``threshold`` is not above 0, or ``action`` is none of the two.
    """

    def __init__(
        self, *, every: int = 5, action: Literal["warn", "stop"] = "warn", threshold: float = THRESHOLD
    ) -> None:
        if every < 1 or not threshold > 0 or action not in ("warn", "stop"):
            raise ConfigError(
                "every must be 1 or more, threshold above 0 and action 'warn' or 'stop'; "
                f"got {every}, {threshold} and {action!r}"
            )
        self.every, self.action, self.threshold = every, action, threshold
        self.alarm: Alarm | None = None
        self._means: dict[int, float] = {}  # by step
        self._heard: list[float] = []

    def wrap(self, reward: RewardFunction) -> RewardFunction:
        """``reward``, listened to. A reward model as a module has to be wrapped in a function of texts first."""
        if not callable(reward) or not hasattr(reward, "__name__"):
            raise ConfigError(
                f"OnsetCallback listens to reward functions; got {type(reward).__name__}. "
                "Wrap it: def reward(prompts, completions, **kwargs): …"
            )
        if inspect.iscoroutinefunction(reward):
            raise ConfigError("OnsetCallback listens to plain reward functions; got an async one")

        @functools.wraps(reward)
        def listened(*given: Any, **named: Any) -> Sequence[float | None]:
            rewards = reward(*given, **named)
            self._heard += [float(value) for value in rewards if value is not None and math.isfinite(value)]
            return rewards

        return listened

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Every ``every`` steps."""
        del args, kwargs
        if not self._heard or state.global_step % self.every:
            return
        self._means[state.global_step] = float(np.mean(self._heard))
        self._heard = []
        if self.alarm is None:
            found = bend_seen(np.array(list(self._means), dtype=np.float64), np.array(list(self._means.values())))
            if found is None or found.t < self.threshold:
                return
            self.alarm = found
            logger.warning(
                "the reward climbs faster since step %.0f (seen at step %.0f): read what the policy writes. If it "
                "games the reward, stop, raise the KL weight, or go back to a checkpoint before it",
                found.onset,
                found.step,
            )
        if self.action == "stop":
            control.should_training_stop = True
