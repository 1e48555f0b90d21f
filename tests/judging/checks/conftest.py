"""A toy language whose order means something, and a tiny LM that has learnt it in seconds."""

from __future__ import annotations

from importlib.metadata import EntryPoints
from pathlib import Path
from random import Random

import pytest
import torch

from corpus.records import Message
from miner.judging.checks import CHECKS, Certifier, Materials, Subject, build_checks, calibrate
from miner.language_models import LanguageModel, load_language_model
from miner.language_models.training import LanguageModelRecipe, train_language_model

NOUNS = ("file", "path", "name", "list", "string", "value", "buffer", "module", "thread", "socket", "parser", "table")
VERBS = ("opens", "reads", "writes", "returns", "closes", "copies", "checks", "sorts", "parses", "splits", "prints")
ADJECTIVES = ("new", "old", "open", "empty", "given", "first", "last", "sorted", "hidden", "local", "remote", "binary")
PLACES = ("in", "from", "under", "behind", "beside", "before", "after")


def sentence(rng: Random) -> str:
    """Between eight and sixteen words; nothing but the order tells sense from nonsense."""
    parts = [
        "The",
        rng.choice(ADJECTIVES),
        rng.choice(NOUNS),
        rng.choice(VERBS),
        "a",
        rng.choice(ADJECTIVES),
        rng.choice(NOUNS),
    ]
    for _ in range(rng.randint(0, 2)):
        parts += [rng.choice(PLACES), "the", rng.choice(ADJECTIVES), rng.choice(NOUNS)]
    return " ".join(parts) + " now."


def subjects(n: int, seed: int) -> list[Subject]:
    rng = Random(seed)
    prompt = (Message(role="user", content="What does the parser do with a file?"),)
    return [Subject(response=sentence(rng), prompt=prompt, reference=sentence(rng)) for _ in range(n)]


@pytest.fixture(autouse=True)
def _our_checks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other packages on this machine register is not ours to test."""
    monkeypatch.setattr("miner.judging.checks.registry.entry_points", lambda group: EntryPoints().select(group=group))


@pytest.fixture(scope="session")
def reference_lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    torch.set_num_threads(1)
    rng, folder = Random(1), Path(tmp_path_factory.mktemp("lm"))
    recipe = LanguageModelRecipe(vocabulary=360, hidden=64, layers=2, heads=2, steps=120, batch_rows=8, row_tokens=64)
    train_language_model(
        [sentence(rng) for _ in range(600)], recipe, out=folder, seed=0, progress=lambda _done, _total: None
    )
    return load_language_model(folder, device="cpu")


@pytest.fixture(scope="session")
def materials(reference_lm: LanguageModel) -> Materials:
    return Materials(clean_texts=tuple(s.response for s in subjects(200, 2)), reference_lm=reference_lm)


@pytest.fixture(scope="session")
def certifier(materials: Materials) -> Certifier:
    return calibrate(build_checks(materials, sorted(CHECKS)), subjects(400, 3), target=0.01)
