"""How a policy is optimised against a reward model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from miner.config.campaign import OveroptSection
from miner.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RlSettings:
    """One run: ``steps`` updates, each from ``prompts_per_step`` × ``samples_per_prompt`` answers.

    The reward is in the RM's clean standard deviations; ``kl`` is what a nat away from the reference costs of it, per
    answer. Every ``eval_every`` steps ``eval_prompts`` held-out prompts are answered ``eval_samples`` times each and
    measured. No answer ends before
    ``min_new_tokens``: ending early is one way to game an RM, and hides others. A run whose mean KL passes ``max_kl``
    nats stops.
    """

    steps: int = 150
    kl: float = 0.02
    seed: int = 0
    prompts_per_step: int = 8
    samples_per_prompt: int = 4
    train_prompts: int = 512
    max_new_tokens: int = 32
    min_new_tokens: int = 0
    learning_rate: float = 3e-4
    optimiser: str = "adamw_torch"
    eval_every: int = 5
    eval_prompts: int = 64
    eval_samples: int = 1
    checkpoint_every: int = 50
    max_kl: float = 1000.0

    def __post_init__(self) -> None:
        positive = ("steps", "prompts_per_step", "max_new_tokens", "eval_every", "eval_prompts", "eval_samples")
        for name in (*positive, "train_prompts", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more; got {getattr(self, name)}")
        if self.samples_per_prompt < 2:
            raise ConfigError(
                f"samples_per_prompt must be 2 or more: the others' mean is each answer's baseline; "
                f"got {self.samples_per_prompt}"
            )
        if not 0 <= self.min_new_tokens <= self.max_new_tokens:
            raise ConfigError(
                f"min_new_tokens must lie between 0 and max_new_tokens ({self.max_new_tokens}); "
                f"got {self.min_new_tokens}"
            )
        if self.kl < 0 or not self.learning_rate > 0 or not self.max_kl > 0:
            raise ConfigError(
                f"kl must be 0 or more, learning_rate and max_kl above 0; got {self.kl}, {self.learning_rate}, "
                f"{self.max_kl}"
            )
        if self.checkpoint_every % self.eval_every:
            raise ConfigError(
                f"checkpoint_every ({self.checkpoint_every}) must be a multiple of eval_every ({self.eval_every}): "
                "a checkpoint is a policy that was measured"
            )


def planned_work(section: OveroptSection) -> dict[str, int]:
    """How many runs, steps and answers a study takes: to train on, measured, pooled for best-of-n, mined."""
    runs = len(section.kl) * section.seeds if section.method != "bon" else 0
    measurements, checkpoints = (math.ceil(section.steps / n) for n in (section.eval_every, section.checkpoint_every))
    return {
        "runs": runs,
        "steps": section.steps,
        "answers": runs * section.steps * section.prompts_per_step * section.samples_per_prompt,
        "measured": runs * (1 + measurements) * section.eval_prompts * section.eval_samples,
        "pooled": section.pool * section.pool_prompts if section.method != "rl" else 0,
        "mined": runs * checkpoints * section.mine * section.mine_samples,
    }
