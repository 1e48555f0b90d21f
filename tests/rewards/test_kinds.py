"""Every kind of RM keeps the contract of ``miner.rewards.base``, those of other packages on this machine, too.

A kind of ours needs an example here, one of another package names its own (``Kind.example``); nothing else is edited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miner.config.kinds import BUILT_IN, REWARD_MODELS, imported, known_kinds
from miner.config.reward_model import RewardModelSection
from miner.rewards import Pair, RewardModel
from miner.rewards.opening import open_reward_model
from miner.serving import RewardServer
from miner.testing import ToyRewardModel, reward_model_violations
from tests.rewards.asking_models import JUDGE_TEMPLATE, PAIRWISE, REFERENCES, TAG
from tests.rewards.models import PAIRS

FolderOf = Callable[[str], Path]
IN_FP32 = {"device": "cpu", "dtype": "float32"}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {  # the model, and the table named after the kind
    "pairwise": PAIRWISE["two labels"],
    "judge": ("lm", {"template": JUDGE_TEMPLATE, "low": 1, "high": 5}),
    "process": ("stepping_classifier", {"tag": TAG}),
}


@pytest.fixture(params=sorted(known_kinds(REWARD_MODELS)))
def rm(request: pytest.FixtureRequest, folder_of: FolderOf, asking_folder_of: FolderOf, tmp_path: Path) -> Any:
    kind = request.param
    with _served() as address:
        if kind == "remote":
            yield _opened({"source": address, "remote": {"retries": 1, "give_up_s": 5.0}})
        elif kind == "classifier":
            yield _opened({"source": str(folder_of("llama")), **IN_FP32})
        elif kind in ASKED:
            model, table = ASKED[kind]
            yield _opened({"source": str(asking_folder_of(model)), "kind": kind, kind: dict(table), **IN_FP32})
        else:
            example = known_kinds(REWARD_MODELS)[kind].example
            assert example, f"kind {kind!r} brings no example to test it on"
            yield _opened(imported(example)(tmp_path))


@contextmanager
def _served() -> Iterator[str]:
    server = RewardServer(rm=ToyRewardModel(), port=0)
    server.start()
    try:
        yield server.url
    finally:
        server.close()


def _opened(table: dict[str, Any]) -> RewardModel:
    words = " ".join(ToyRewardModel().vocabulary[:36])  # of which a remote RM without a tokenizer makes its edits
    return open_reward_model(RewardModelSection.model_validate(table), {**REFERENCES, PAIRS[0].prompt: words})


def test_it_keeps_the_contract(rm: RewardModel) -> None:
    rng = np.random.default_rng(3)
    pairs = [Pair(PAIRS[0].prompt, " ".join(rm.words(n, rng))) for n in (2, 3, 5, 8, 12)]
    assert reward_model_violations(rm, pairs) == []


def test_every_kind_of_ours_is_tested_here() -> None:
    assert set(BUILT_IN[REWARD_MODELS]) == {"classifier", "remote", *ASKED}
