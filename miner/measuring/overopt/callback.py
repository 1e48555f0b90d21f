"""Warns of, or stops, a user's own TRL run when its policy starts to game the reward.

    watch = OnsetCallback(second=load_reward_model("path/to/another-rm"))
    trainer = GRPOTrainer(..., reward_funcs=watch.wrap(my_reward), callbacks=[watch])

It samples nothing: the reward function is the one place that sees every prompt, answer and reward, so it is listened to
there. Rewards come back unchanged.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from corpus.records import Conversation, Message
from miner.errors import ConfigError
from miner.language_models import LanguageModel
from miner.language_models.hidden_states import read_texts
from miner.measuring.clean_cloud import CleanCloud
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.detector import Alarm, Detector
from miner.measuring.overopt.measuring import repetition, rewards_or_nan
from miner.measuring.overopt.rows import NAN, SampleRow
from miner.rewards.base import Pair, Scorer

logger = logging.getLogger(__name__)

RewardFunction = Callable[..., Sequence[float | None]]
KEPT = 64  # answers a measurement looks at


@dataclass(frozen=True, slots=True)
class _Observation:
    prompt: Conversation
    answer: str
    reward: float


class OnsetCallback(TrainerCallback):
    """Measures what the policy wrote every ``every`` steps and alarms where the detector does.

    Give ``second`` (an independent RM: anything with ``exact_rewards``), ``reference_lm`` (a causal LM that judges
    fluency), or both; with ``clean_texts`` the latent distance to clean text counts too. ``action`` "warn" logs a
    warning once, "stop" ends the training as well. ``alarm`` is the last verdict, None before the second measurement.

    Raises:
        ConfigError: neither an RM nor an LM to tell gaming by.
    """

    def __init__(
        self,
        *,
        second: Scorer | None = None,
        reference_lm: LanguageModel | None = None,
        clean_texts: Sequence[str] = (),
        every: int = 5,
        action: Literal["warn", "stop"] = "warn",
        detector: Detector | None = None,
    ) -> None:
        if second is None and reference_lm is None:
            raise ConfigError(
                "OnsetCallback needs something to tell gaming by: second=, an RM, or reference_lm=, an LM"
            )
        if every < 1 or action not in ("warn", "stop"):
            raise ConfigError(f"every must be 1 or more and action 'warn' or 'stop'; got {every} and {action!r}")
        self.second, self.reference_lm = second, reference_lm
        self.every, self.action, self.detector = every, action, detector or Detector()
        self.space = None
        if reference_lm is not None and clean_texts:
            self.space = CleanCloud.of(read_texts(reference_lm, clean_texts).hidden)
        self.alarm: Alarm | None = None
        self.rows: list[SampleRow] = []
        self._heard: list[_Observation] = []
        self._warned = False

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
        def listened(prompts: Sequence[Any], completions: Sequence[Any], **rest: Any) -> Sequence[float | None]:
            rewards = reward(prompts=prompts, completions=completions, **rest)
            for prompt, answer, value in zip(prompts, completions, rewards, strict=True):
                if value is not None:
                    self._heard.append(_Observation(_conversation(prompt), _text(answer), float(value)))
            return rewards

        return listened

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Every ``every`` steps, and at the first: what the reference writes is what later text is compared with."""
        del args, kwargs
        if not self._heard or (self.rows and state.global_step % self.every):
            return
        self.rows += self._measure(state.global_step, self._heard[-KEPT:])
        self._heard = []
        self.alarm = self.detector.alarm(Curves(_aligned(self.rows)))
        if self.alarm.step is None:
            return
        if not self._warned:
            self._warned = True
            logger.warning(
                "the policy seems to game its reward since step %s (alarm at step %d): %s. Stop, raise the KL weight, "
                "or go back to a checkpoint before it",
                _onset_text(self.alarm),
                state.global_step,
                ", ".join(f"{name} {value:+.1f} SD" for name, value in self._signals().items()),
            )
        if self.action == "stop":
            control.should_training_stop = True

    def _measure(self, step: int, heard: Sequence[_Observation]) -> list[SampleRow]:
        pairs = [Pair(one.prompt, one.answer) for one in heard]
        second = [NAN] * len(pairs) if self.second is None else rewards_or_nan(self.second, pairs)
        surprise = latent = [NAN] * len(pairs)
        if self.reference_lm is not None:
            reading = read_texts(self.reference_lm, [one.answer for one in heard])
            surprise = reading.surprise.tolist()
            latent = self.space.scaled_distances(reading.hidden).tolist() if self.space else latent
        return [
            SampleRow(
                step=step,
                prompt_id=str(at),
                response=one.answer,
                proxy=one.reward,
                gold=NAN,
                second=second[at],
                kl=NAN,
                entropy=NAN,
                length=float(len(one.answer.split())),
                repetition=repetition(one.answer),
                surprise=surprise[at],
                latent=latent[at],
                nonsense=NAN,
            )
            for at, one in enumerate(heard)
        ]

    def _signals(self) -> dict[str, float]:
        from miner.measuring.overopt.detector import signal

        curves = Curves(_aligned(self.rows))
        found = {name: signal(curves, name) for name in self.detector.weights}
        return {name: float(values[:, -1].mean()) for name, values in found.items() if values is not None}


def _aligned(rows: Sequence[SampleRow]) -> list[SampleRow]:
    """As many answers of each step as every step has: prompts differ between steps, so that rows stand for samples."""
    steps = sorted({row.step for row in rows})
    fewest = min(sum(row.step == step for row in rows) for step in steps)
    return [row for row in rows if int(row.prompt_id) < fewest]


def _onset_text(alarm: Alarm) -> str:
    if alarm.onset is None:
        return "about now"
    return f"{alarm.onset.bend.step:.0f} [{alarm.onset.low:.0f}–{alarm.onset.high:.0f}]"


def _conversation(prompt: Any) -> Conversation:
    if isinstance(prompt, str):
        return (Message(role="user", content=prompt),)
    return tuple(Message(role=str(turn["role"]), content=str(turn["content"])) for turn in prompt)


def _text(answer: Any) -> str:
    if isinstance(answer, str):
        return answer.strip()
    turns: Sequence[Mapping[str, Any]] = answer
    return str(turns[-1]["content"]).strip() if turns else ""
