"""Models with code of their own run it only when asked, and their reward is taken from where it is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from miner.checkpoints.identity import fingerprint
from miner.checkpoints.own_code_consent import code_files, code_hash
from miner.config.reward_model import RewardModelSection
from miner.errors import CapabilityError, ModelError
from miner.rewards.base import SwapRequest
from miner.rewards.loading.classifiers import open_classifier
from tests.rewards.conformance import TOLERANCE, violations
from tests.rewards.heads import edit
from tests.rewards.models import PAIRS, conversation
from tests.rewards.own_code import plain, save


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where transformers puts the code that it runs."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))


def opened(folder: Path, head: dict[str, Any] | None = None, **settings: Any) -> Any:
    given = {"device": "cpu", "dtype": "float32", "trust_remote_code": True, **settings}
    return open_classifier(RewardModelSection.model_validate({"source": str(folder), "head": head or {}, **given}))


def refusal(folder: Path, head: dict[str, Any] | None = None, **settings: Any) -> str:
    with pytest.raises(ModelError) as caught:
        opened(folder, head, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


REQUEST = SwapRequest(prompts=(conversation("What is it?"),), weights=(1.0,), response="a tree of files", k=2)


@pytest.mark.parametrize(
    ("returns", "head"),
    [
        ("tensor", {}),
        ("column", {}),
        ("tuple", {"output": 1}),
        ("dict", {"output": "end_scores"}),
        ("attributes", {"output": "score"}),
        ("attributes", {"output": "rewards", "objectives": {"helpful": 1.0, "brief": -0.5}}),
        ("attributes", {"objectives": [0.0, 0.0, 1.0]}),
    ],
)
def test_the_reward_is_taken_from_where_it_is_said_to_be(returns: str, head: dict[str, Any], tmp_path: Path) -> None:
    folder = save(tmp_path / "rm", returns)
    rm = opened(folder, head)
    weighting = {"helpful": (1.0, 0.0, -0.5)}.get(next(iter(head.get("objectives", {""}))), head.get("objectives"))
    assert violations(rm, PAIRS, plain(folder, PAIRS, weighting)) == []
    assert rm.has_gradients
    (table,) = rm.swaps([REQUEST])
    assert any(abs(swap.gain) > 1e-6 for swaps in table for swap in swaps)


@pytest.mark.parametrize("auto_class", ["AutoModelForSequenceClassification", "AutoModelForCausalLM"])
def test_whichever_class_the_code_is_for_is_used(auto_class: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "rm", "tensor", auto_class=auto_class)
    np.testing.assert_allclose(opened(folder).exact_rewards(PAIRS), plain(folder, PAIRS), atol=TOLERANCE)


def test_a_model_without_a_padding_token_is_asked_alone(tmp_path: Path) -> None:
    folder = save(tmp_path / "rm", "tensor", pad=None)
    rm, sizes = opened(folder), []
    rm.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    np.testing.assert_allclose(rm.rewards(PAIRS), plain(folder, PAIRS), atol=TOLERANCE)
    assert set(sizes) == {1}


@pytest.mark.parametrize("returns", ["no_grad", "no_embeddings"])
def test_code_that_allows_no_gradients_says_so(returns: str, tmp_path: Path) -> None:
    rm = opened(save(tmp_path / "rm", returns), {"output": "score"})
    assert not rm.has_gradients
    with pytest.raises(CapabilityError, match=r"gives no token gradients.*--attack random"):
        rm.swaps([REQUEST])
    with pytest.raises(CapabilityError, match="gives no token gradients"):
        rm.attributions(PAIRS[0], 4)
    np.testing.assert_allclose(rm.rewards(PAIRS), plain(tmp_path / "rm", PAIRS), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("returns", "head", "said"),
    [
        ("tuple", {}, "returns a tuple of 2, no 'logits'"),
        ("tuple", {"output": 5}, "no 5"),
        ("dict", {"output": "reward"}, "with end_scores, scores, no 'reward'"),
        ("attributes", {}, "values of shape 1×3; expected 1"),
        ("attributes", {"output": "rewards", "objectives": [1.0]}, "values of shape 1×3; expected 1"),
        ("per_token", {}, "expected 1 for each text"),
        ("crash", {}, "fails on a short text: ValueError: Token pattern"),
        ("attributes", {"objectives": {"kind": 1.0}}, "no objective 'kind'"),
    ],
)
def test_what_is_no_reward_is_refused_when_it_is_opened(
    returns: str, head: dict[str, Any], said: str, tmp_path: Path
) -> None:
    message = refusal(save(tmp_path / "rm", returns), head)
    assert said in message


def test_code_is_not_run_unless_asked_for(tmp_path: Path) -> None:
    folder = save(tmp_path / "rm", "tensor")
    (folder / "modeling_tiny.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    assert "Try: --set rm.trust_remote_code=true" in refusal(folder, trust_remote_code=False)


def test_files_and_hash_are_shown_before_the_code_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "rm", "tensor")
    files = code_files(folder)
    opened(folder)
    shown = capsys.readouterr().err
    assert f"modeling_tiny.py {files['modeling_tiny.py'][:16]}" in shown
    assert f"rm.code_hash={code_hash(files)}" in shown


def test_pinned_code_is_refused_once_it_changed(tmp_path: Path) -> None:
    folder = save(tmp_path / "rm", "tensor")
    pinned = code_hash(code_files(folder))
    before = opened(folder, code_hash=pinned)
    with (folder / "modeling_tiny.py").open("a", encoding="utf-8") as code:
        code.write("\n# another comment\n")
    message = refusal(folder, code_hash=pinned)
    assert "it changed. Read modeling_tiny.py" in message
    assert opened(folder).fingerprint != before.fingerprint


def test_code_in_a_folder_below_counts_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "rm", "tensor")
    pinned, before = code_hash(code_files(folder)), fingerprint(folder)
    (folder / "below").mkdir()
    (folder / "below" / "more.py").write_text("A = 1\n", encoding="utf-8")
    assert code_hash(code_files(folder)) != pinned
    assert fingerprint(folder) != before
    opened(folder)
    assert "below/more.py" in capsys.readouterr().err


def test_a_tokenizer_that_brings_code_is_refused(tmp_path: Path) -> None:
    folder, other = save(tmp_path / "rm", "tensor"), save(tmp_path / "other", "tensor")
    assert "brings code of its own, which rm.code_hash does not cover" in refusal(folder, tokenizer=str(other))


def test_code_of_another_repository_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "rm", "tensor")
    edit(folder / "config.json", auto_map={"AutoModel": "someone/else--modeling_tiny.TinyRewardModel"})
    assert "write 'modeling_tiny.TinyRewardModel' there" in refusal(folder)


def test_code_for_another_task_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "rm", "tensor")
    auto = {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModelForMaskedLM": "modeling_tiny.TinyRewardModel"}
    edit(folder / "config.json", auto_map=auto)
    assert "expected a class for AutoModelForSequenceClassification or AutoModel" in refusal(folder)


def test_a_saved_model_takes_its_code_along(tmp_path: Path) -> None:
    folder = save(tmp_path / "rm", "attributes")
    rm = opened(folder, {"output": "score"})
    rm.model.save_pretrained(tmp_path / "again")
    rm.pipeline.tokenizer.save_pretrained(tmp_path / "again")
    again = opened(tmp_path / "again", {"output": "score"}, code_hash=code_hash(code_files(folder)))
    np.testing.assert_allclose(again.exact_rewards(PAIRS), rm.exact_rewards(PAIRS), atol=TOLERANCE)


def test_weights_that_its_class_says_not_to_miss_are_missed(tmp_path: Path) -> None:
    """``_keys_to_ignore_on_load_missing`` keeps transformers quiet; the layer is drawn anew at every load."""
    folder = save(tmp_path / "rm", "column")
    code = folder / "modeling_tiny.py"
    quiet = "    config_class = TinyConfig\n    _keys_to_ignore_on_load_missing = ['gating']\n"
    code.write_text(code.read_text().replace("    config_class = TinyConfig\n", quiet))
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if not k.startswith("gating")}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    assert "no trained weights for gating" in refusal(folder)
