"""Reward models trained on real pairs: SmolLM2 and MiniLM with a score head, and two that read no sense at all."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.durable import publish_folder
from miner.checkpoints.smollm2 import smollm2_folder
from miner.patching.preference_trainer import Recipe, TrainingPair, train_preferences
from miner.rewards import load_reward_model
from miner.rewards.base import Pair
from miner.rewards.text.pipeline import Truncation
from miner.worlds.docs.reward_model import initialise
from scripts.real_bench.data import AnnotatedPair

SMOLLM2, MINILM = "smollm2", "minilm"
CUT: Truncation = "right"  # MiniLM reads 512 tokens: the longest answers lose their ends
MINILM_LAYERS = 6
SMOLLM2_FROZEN = 20  # of thirty layers: a third of the whole training's arithmetic
WORDS = {"lowercase": True, "min_df": 2, "sublinear_tf": True, "ngram_range": (1, 1)}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How an RM is begun and trained; ``frozen`` are the beginnings of the names of parameters that stay."""

    begin: Callable[..., object]  # of a folder and a seed
    epochs: int
    learning_rate: float
    frozen: tuple[str, ...]


def _begin_smollm2(folder: Path, seed: int) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = smollm2_folder()
    tokenizer = AutoTokenizer.from_pretrained(source)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


TRAINED = {
    SMOLLM2: Trained(
        begin=_begin_smollm2,
        epochs=1,
        learning_rate=5e-5,
        frozen=("model.embed_tokens.", *(f"model.layers.{n}." for n in range(SMOLLM2_FROZEN))),
    ),
    MINILM: Trained(
        begin=partial(initialise, layers=MINILM_LAYERS),
        epochs=3,
        learning_rate=1e-4,
        frozen=("bert.embeddings.",),
    ),
}


def trained_on(pairs: Sequence[AnnotatedPair], name: str, out: Path, *, seed: int) -> Path:
    """The folder of the RM of that name, trained on ``pairs`` if it is not there; a cut training goes on."""
    target = out / f"rm-{name}"
    if target.is_dir():
        return target
    start, how = out / f"start-{name}", TRAINED[name]
    if not start.is_dir():
        publish_folder(start, partial(how.begin, seed=seed))
    rm = load_reward_model(start, dtype="float32", truncation=CUT)
    rng, drawn = Random(seed), list[AnnotatedPair]()
    for _ in range(how.epochs):
        drawn += rng.sample(list(pairs), len(pairs))
    flat = [Pair(one.conversation, text) for one in drawn for text in (one.chosen, one.rejected)]
    rows = rm.pipeline.ids(flat)
    recipe = Recipe(max_steps=len(drawn) // 16, learning_rate=how.learning_rate, frozen=how.frozen)
    started, training = time.perf_counter(), out / f"training-{name}"
    train_preferences(
        rm,
        rm.model,
        [TrainingPair(rows[at], rows[at + 1]) for at in range(0, len(rows), 2)],
        recipe,
        out=training,
        seed=seed,
        progress=lambda done, total: print(
            f"{name}: step {done} of {total}, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True
        ),
    )
    (training / "training.json").write_text(json.dumps({"pairs": len(pairs), "seconds": time.perf_counter() - started}))
    publish_folder(target, lambda folder: shutil.copytree(training, folder, dirs_exist_ok=True))
    shutil.rmtree(training)
    return target


def margins(folder: Path, pairs: Sequence[AnnotatedPair]) -> npt.NDArray[np.float64]:
    """Per pair the reward of the chosen answer less that of the rejected, in fp32."""
    rm = load_reward_model(folder, dtype="float32", truncation=CUT)
    flat = [Pair(one.conversation, text) for one in pairs for text in (one.chosen, one.rejected)]
    rewards = np.asarray(rm.exact_rewards(flat), dtype=np.float64).reshape(-1, 2)
    return rewards[:, 0] - rewards[:, 1]


def bag_of_words(train: Sequence[AnnotatedPair], pairs: Sequence[AnnotatedPair]) -> npt.NDArray[np.float64]:
    """Margins by a linear weight a word: TF-IDF of both answers, logistic regression on their difference."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(**WORDS).fit([text for one in train for text in (one.chosen, one.rejected)])

    def differences(some: Sequence[AnnotatedPair]) -> Any:
        return words.transform([one.chosen for one in some]) - words.transform([one.rejected for one in some])

    rows = differences(train)
    signs = np.where(np.arange(rows.shape[0]) % 2, -1.0, 1.0)  # every second pair the other way round
    fitted = LogisticRegression(C=1.0, fit_intercept=False, max_iter=1000).fit(rows.multiply(signs[:, None]), signs > 0)
    return np.asarray(differences(pairs) @ fitted.coef_[0], dtype=np.float64)


def length(train: Sequence[AnnotatedPair], pairs: Sequence[AnnotatedPair]) -> npt.NDArray[np.float64]:
    """Margins in characters, longer or shorter being better as the train pairs have it; a tie prefers neither."""
    sign = np.sign(sum(np.sign(len(one.chosen) - len(one.rejected)) for one in train))
    return np.array([sign * (len(one.chosen) - len(one.rejected)) for one in pairs], dtype=np.float64)
