"""A tiny policy, and the uniform one of the same vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from miner.language_models import LanguageModel, load_language_model
from miner.language_models.training import LanguageModelRecipe, train_language_model

ANSWERS = ("Return the name of the file.", "Open the given path.", "Close the socket and free its port.")


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = Path(tmp_path_factory.mktemp("policy"))
    recipe = LanguageModelRecipe(
        vocabulary=300,
        hidden=32,
        layers=2,
        heads=2,
        steps=120,
        batch_rows=4,
        row_tokens=32,
        max_length=96,
        learning_rate=1e-2,
    )
    texts = [f"What does `{name}` do? {answer}" for name, answer in zip("abc", ANSWERS, strict=True)] * 30
    train_language_model(texts, recipe, out=out, seed=0, progress=lambda _done, _total: None)
    return out


@pytest.fixture(scope="session")
def uniform_folder(policy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same architecture with an embedding of zeros, tied to the head: every next token is as likely as any."""
    out = Path(tmp_path_factory.mktemp("uniform"))
    lm = load_language_model(policy_folder, device="cpu")
    torch.nn.init.zeros_(lm.model.get_input_embeddings().get_parameter("weight"))
    lm.model.save_pretrained(out)
    lm.tokenizer.save_pretrained(out)
    return out


@pytest.fixture(scope="session")
def policy(policy_folder: Path) -> LanguageModel:
    return load_language_model(policy_folder, device="cpu")


@pytest.fixture(scope="session")
def uniform(uniform_folder: Path) -> LanguageModel:
    return load_language_model(uniform_folder, device="cpu")
