"""Every public RM that we know is tried on a tiny random-weight copy of its architecture and checkpoint layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from miner.cli.entry import app
from miner.config.campaign import parse_config
from miner.config.published_models import KNOWN, Known
from miner.config.reward_model import RewardModelSection
from miner.errors import ConfigError, ModelError
from miner.rewards.base import SwapRequest
from miner.rewards.loading.classifiers import open_classifier
from tests.rewards import own_code as own
from tests.rewards.conformance import Rewards, plain_rewards, violations
from tests.rewards.heads import Built
from tests.rewards.models import PAIRS, conversation

PAIRWISE = {"PairRM", "SteamSHP"}
SCALAR = {entry.family: entry for entry in KNOWN if entry.family not in PAIRWISE}


@dataclass(frozen=True)
class Copy:
    """How to save a tiny copy, and its rewards without our code."""

    save: Callable[[Path], Path]
    plain: Callable[[Path, str | None], Rewards]
    trust_remote_code: bool = False


def of_transformers(architecture: str) -> Copy:
    from tests.rewards.models import build

    return Copy(lambda folder: build(architecture, folder), lambda folder, _: plain_rewards(folder, PAIRS))


def of_head(**built: Any) -> Copy:
    one = Built(**built)
    return Copy(one.save, lambda folder, template: one.plain(folder, PAIRS, template))


def of_own_code(returns: str, weighting: tuple[float, ...] | None = None) -> Copy:
    return Copy(
        lambda folder: own.save(folder, returns, auto_class="AutoModelForSequenceClassification"),
        lambda folder, _: own.plain(folder, PAIRS, weighting),
        trust_remote_code=True,
    )


APPENDED = "[UNUSED_TOKEN_130]"


def internlm2() -> Copy:
    """Its own code over a backbone that transformers lacks; the appended token is one of its tokenizer's."""

    def save(folder: Path) -> Path:
        own.save(folder, "logits", n_values=1)
        file = folder / "tokenizer.json"
        content = json.loads(file.read_text(encoding="utf-8"))
        model = content["model"]
        model["vocab"][APPENDED] = model["vocab"].pop("".join(model["merges"].pop()))  # of the piece made last
        file.write_text(json.dumps(content), encoding="utf-8")
        return folder

    return Copy(save, lambda folder, _: own.plain(folder, PAIRS, (1.0,), append=APPENDED), trust_remote_code=True)


COPIES: dict[str, Copy] = {
    "Skywork V2 on Qwen3": of_transformers("qwen3"),
    "Skywork V2 on Llama": of_transformers("llama"),
    "Skywork V1 on Gemma 2": of_transformers("gemma2"),
    "ArmoRM": of_own_code("attributes"),
    "QRM": of_own_code("attributes"),
    "URM": of_own_code("gated_logits"),
    "InternLM2 reward": internlm2(),
    "GRM with a value head": of_head(
        architecture="gemma2", layers={"v_head.summary.0": (24, True), "v_head.summary.2": (1, True)}
    ),
    "GRM fine-tuned": of_transformers("llama"),
    "Starling": of_head(prefix="transformer."),
    "Starling on Yi": of_head(prefix="transformer."),
    "UltraRM": of_head(layers={"regression_head": (1, False)}),
    "Beaver reward": of_head(
        layers={"score_head": (1, True)}, extra={"normalizer.mean": (1,), "normalizer.var": (1,)}
    ),
    "Beaver cost": of_head(layers={"score_head": (1, True)}, weighting=(-1.0,)),
    "OpenAssistant Pythia": of_head(
        architecture="gpt_neox", prefix="gpt_neox.", layers={"out_proj": (1, True)},
        config={"model_type": "gpt_neox_reward_model", "pooling": "last"},
    ),
    "OpenAssistant DeBERTa": of_transformers("deberta_v2"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))


def opened(entry: Known, folder: Path, **settings: Any) -> Any:
    beside = {"tokenizer": str(folder)} if "tokenizer" in entry.settings else {}
    given = {"source": str(folder), "like": entry.models[0], "device": "cpu", "dtype": "float32", **beside, **settings}
    return open_classifier(RewardModelSection.model_validate(given))


@pytest.mark.parametrize("family", SCALAR)
def test_a_tiny_copy_scores_as_plain_torch_does(family: str, tmp_path: Path) -> None:
    entry, copy = SCALAR[family], COPIES[family]
    folder = copy.save(tmp_path / "rm")
    rm = opened(entry, folder, **({"trust_remote_code": True} if copy.trust_remote_code else {}))
    assert violations(rm, PAIRS, copy.plain(folder, entry.settings.get("template"))) == []
    assert rm.has_gradients
    request = SwapRequest(prompts=(conversation("What is it?"),), weights=(1.0,), response="a tree of files", k=2)
    assert any(abs(swap.gain) > 1e-6 for swaps in rm.swaps([request])[0] for swap in swaps)


@pytest.mark.parametrize("family", [name for name, copy in COPIES.items() if copy.trust_remote_code])
def test_its_own_code_still_has_to_be_asked_for(family: str, tmp_path: Path) -> None:
    folder = COPIES[family].save(tmp_path / "rm")
    with pytest.raises(ModelError, match=r"Try: --set rm\.trust_remote_code=true"):
        opened(SCALAR[family], folder)


def test_gemma_2_is_run_with_eager_attention(tmp_path: Path) -> None:
    rm = opened(SCALAR["Skywork V1 on Gemma 2"], COPIES["Skywork V1 on Gemma 2"].save(tmp_path / "rm"))
    assert rm.model.config._attn_implementation == "eager"
    with pytest.raises(ModelError, match="does not support an attention implementation"):
        opened(SCALAR["Skywork V1 on Gemma 2"], tmp_path / "rm", attention="sdpa")


@pytest.mark.parametrize(("attention", "used"), [(None, "sdpa"), ("eager", "eager")])
def test_the_attention_asked_for_is_used(attention: str | None, used: str, tmp_path: Path) -> None:
    entry = SCALAR["Skywork V2 on Llama"]
    rm = opened(entry, COPIES[entry.family].save(tmp_path / "rm"), attention=attention)
    assert rm.model.config._attn_implementation == used


def test_a_template_that_writes_the_bos_gets_no_second_one(tmp_path: Path) -> None:
    rm = opened(SCALAR["Skywork V2 on Llama"], COPIES["Skywork V2 on Llama"].save(tmp_path / "rm"))
    bos = rm.pipeline.tokenizer.bos_token_id
    assert rm.pipeline.tokenizer(rm.pipeline.render(PAIRS[0]))["input_ids"][:2] == [bos, bos]  # as a user would
    for ids, _ in rm.pipeline.ids(PAIRS):
        assert ids[0] == bos
        assert ids[1] != bos


def test_a_cost_is_turned_into_a_reward(tmp_path: Path) -> None:
    folder = COPIES["Beaver reward"].save(tmp_path / "rm")
    reward, cost = (opened(SCALAR[name], folder) for name in ("Beaver reward", "Beaver cost"))
    np.testing.assert_allclose(cost.exact_rewards(PAIRS), -reward.exact_rewards(PAIRS), atol=1e-5)
    bias = load_file(folder / "model.safetensors")["score_head.bias"]
    assert torch.isfinite(bias).all()


def test_every_family_of_scalar_rms_has_a_copy() -> None:
    assert set(COPIES) == set(SCALAR)
    assert {entry.settings.get("kind") for entry in KNOWN if entry.family in PAIRWISE} == {"pairwise"}


def test_every_id_is_known_once_and_notes_are_said() -> None:
    models = [model.lower() for entry in KNOWN for model in entry.models]
    assert len(models) == len(set(models))
    assert all(entry.note and entry.models and model.count("/") == 1 for entry in KNOWN for model in entry.models)


def config(**rm: Any) -> RewardModelSection:
    return parse_config({"rm": rm, "data": {"world": "docs"}, "out": "runs/x"}, where="here").rm


def test_a_known_id_brings_its_settings_and_the_users_win() -> None:
    plain = config(source="pku-alignment/BEAVER-7b-v1.0-cost")
    assert (plain.head.weights, plain.head.objectives, plain.head.read_at) == ("score_head", (-1.0,), "last")
    own_way = config(source="PKU-Alignment/beaver-7b-v1.0-cost", head={"objectives": [1.0]}, template="{{ m }}")
    assert (own_way.head.weights, own_way.head.objectives, own_way.template) == ("score_head", (1.0,), "{{ m }}")
    assert config(source="nobody/knows-it") == RewardModelSection(source="nobody/knows-it")
    assert config(source="folder", like="Skywork/Skywork-Reward-Gemma-2-27B").attention == "eager"


def test_settings_read_back_from_a_resolved_file_are_the_same() -> None:
    first = config(source="openbmb/UltraRM-13b")
    assert RewardModelSection.model_validate(first.model_dump(exclude_none=True)) == first


def test_a_likeness_to_nothing_known_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"names no known model \(did you mean 'openbmb/UltraRM-13b'\?\)"):
        config(source="folder", like="openbmb/UltraRM-13")


def test_the_table_is_listed() -> None:
    listed = CliRunner().invoke(app, ["rms"])
    assert listed.exit_code == 0
    for entry in KNOWN:
        assert all(model in listed.output.replace("\n", "") for model in entry.models[:1])
    as_json = CliRunner().invoke(app, ["rms", "--json"])
    assert '"head"' in as_json.output
