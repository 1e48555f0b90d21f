"""Tiny models, built once per session; nothing here reaches the network or the user's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from miner.rewards import load_reward_model
from miner.rewards.adapters.transformer import TransformerRewardModel
from tests.rewards.conformance import Rewards, plain_rewards
from tests.rewards.models import PAIRS, build


@pytest.fixture(scope="session")
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _one_thread_and_no_network(cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RMMINER_CACHE", str(cache_root))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of the architecture named, built at the first call."""
    root = tmp_path_factory.mktemp("models")
    return cache(lambda name: build(name, root / name))


@pytest.fixture(scope="session")
def rm_of(folder_of: Callable[[str], Path]) -> Callable[[str], TransformerRewardModel]:
    """The RM of the architecture named, in fp32 on the CPU."""
    return cache(lambda name: load_reward_model(folder_of(name), device="cpu", dtype="float32"))


@pytest.fixture(scope="session")
def expected_of(folder_of: Callable[[str], Path]) -> Callable[[str], Rewards]:
    """What plain transformers gives for ``PAIRS``."""
    return cache(lambda name: plain_rewards(folder_of(name), PAIRS))


@pytest.fixture(scope="session")
def asking_folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of the model named, of those that are no scalar classifiers, built at the first call."""
    from tests.rewards import asking_models

    root = tmp_path_factory.mktemp("asking")
    return cache(lambda name: asking_models.build(name, root / name))
