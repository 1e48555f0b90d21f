"""Every text classifier of transformers: plain transformers' rewards however they are asked for, or a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from miner.errors import ModelError
from miner.rewards import load_reward_model
from miner.rewards.loading.covered import COVERED
from tests.rewards.conformance import plain_rewards, violations
from tests.rewards.every_architecture import decodes, names, save
from tests.rewards.models import PAIRS

NOT_ALIKE = {  # what of them depends on how a text is asked for
    "xlnet": "padded right",
    "bart": "same number of <eos>",
    "t5": "same number of <eos>",
    "fnet": "each alone",
    "convbert": "each alone",
}


@pytest.mark.parametrize("name", [name for name in names() if name in COVERED])
def test_a_covered_architecture_gives_plain_transformers_rewards(name: str, tmp_path: Path) -> None:
    folder = save(name, tmp_path / name)
    rm = load_reward_model(folder, device="cpu", dtype="float32")
    assert violations(rm, PAIRS, plain_rewards(folder, PAIRS)) == []
    assert (type(rm.pipeline).__name__ == "ChatPipeline") == decodes(name)


def test_many_are_covered() -> None:
    assert len(set(names()) & COVERED) >= 56


@pytest.mark.parametrize("name", NOT_ALIKE)
def test_an_architecture_whose_rewards_depend_on_their_company_is_refused(name: str, tmp_path: Path) -> None:
    folder = save(name, tmp_path / name)
    with pytest.raises(ModelError) as caught:
        load_reward_model(folder, device="cpu", dtype="float32")
    assert "rmminer mine --rm http://" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_covered_architecture_is_not_compared_at_loading_and_another_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from miner.rewards.loading import alike

    compared: list[str] = []
    plain = alike._plain
    monkeypatch.setattr(alike, "_plain", lambda rm, pairs: compared.append(rm.name) or plain(rm, pairs))
    folder = save("llama", tmp_path / "llama")
    load_reward_model(folder, device="cpu", dtype="float32")
    assert compared == []
    monkeypatch.setattr(alike, "COVERED", frozenset())
    load_reward_model(folder, device="cpu", dtype="float32")
    assert compared == ["llama"]
