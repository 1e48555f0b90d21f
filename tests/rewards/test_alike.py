"""RMs of every kind are compared with plain transformers at loading, where no test of ours covers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from miner.errors import ModelError
from miner.rewards import load_reward_model
from miner.rewards.loading import alike, classifiers, judges, pairwise_loading, process_models
from tests.rewards.asking_models import JUDGE_TEMPLATE, PAIRWISE, TAG, opened

FolderOf = Callable[[str], Path]

JUDGE = {"template": JUDGE_TEMPLATE, "low": 1, "high": 5}
ASKED: Mapping[str, tuple[str, tuple[str, dict[str, Any]], Any]] = {  # name: kind, (model, its table), what takes masks
    "judge": ("judge", ("lm", JUDGE), hf.Qwen2Model),
    "judge that writes": ("judge", ("lm", {**JUDGE, "readout": "text"}), hf.Qwen2Model),
    "pairwise, answer": ("pairwise", PAIRWISE["answer, chat"], hf.Qwen2Model),
    "pairwise, T5": ("pairwise", PAIRWISE["answer, T5"], hf.models.t5.modeling_t5.T5Stack),
    "pairwise, two labels": ("pairwise", PAIRWISE["two labels"], hf.BertModel),
    "pairwise, one logit": ("pairwise", PAIRWISE["one logit"], hf.BertModel),
    "pairwise, labels of a decoder": ("pairwise", PAIRWISE["two labels, decoder"], hf.Qwen2Model),
    "process, labels": ("process", ("stepping_classifier", {"tag": TAG}), hf.Qwen2Model),
    "process, LM": ("process", ("stepping_lm", {"tag": TAG, "reduce": "min"}), hf.Qwen2Model),
    "process, product": ("process", ("stepping_classifier", {"tag": TAG, "reduce": "product"}), hf.Qwen2Model),
}


@pytest.fixture
def uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """No architecture is covered by a test."""
    for module in (classifiers, judges, pairwise_loading, process_models):
        for table in ("DECODERS", "ENCODERS", "ENCODER_DECODERS"):
            monkeypatch.setattr(module, table, frozenset(), raising=False)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of model whose plain output was asked for, once a text."""
    asked: list[str] = []
    plain = alike._output
    monkeypatch.setattr(
        alike, "_output", lambda model, *rest: asked.append(type(model).__name__) or plain(model, *rest)
    )
    return asked


def load(name: str, asking_folder_of: FolderOf) -> Any:
    kind, (model, table), _ = ASKED[name]
    return opened(asking_folder_of(model), kind, table)


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.usefixtures("uncovered")
def test_a_sound_rm_of_an_uncovered_architecture_is_compared_on_five_texts_and_taken(
    name: str, asking_folder_of: FolderOf, compared: list[str]
) -> None:
    load(name, asking_folder_of)
    assert len(compared) == len(alike.TEXTS) == 5


@pytest.mark.parametrize("name", ASKED)
def test_a_covered_architecture_is_not_compared(name: str, asking_folder_of: FolderOf, compared: list[str]) -> None:
    load(name, asking_folder_of)
    assert compared == []


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.usefixtures("uncovered")
def test_an_rm_that_reads_padding_is_refused_whatever_its_kind(
    name: str, asking_folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked = ASKED[name][2]
    forward = masked.forward

    @wraps(forward)
    def everything_seen(self: Any, *args: Any, attention_mask: torch.Tensor | None = None, **kwargs: Any) -> Any:
        seen = torch.ones_like(attention_mask) if isinstance(attention_mask, torch.Tensor) else attention_mask
        return forward(self, *args, attention_mask=seen, **kwargs)

    monkeypatch.setattr(masked, "forward", everything_seen)
    with pytest.raises(ModelError, match=r"5 short texts other rewards (padded left|in a batch) than each alone") as no:
        load(name, asking_folder_of)
    assert "rmminer mine --rm http://" in str(no.value)
    assert "\n" not in str(no.value)


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.usefixtures("uncovered")
def test_what_a_model_that_nobody_tried_raises_is_told_on_one_line(
    name: str, asking_folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise AssertionError("no such shape\nat all")

    monkeypatch.setattr(ASKED[name][2], "forward", fails)
    with pytest.raises(ModelError, match=r"fails on short texts one at a time: AssertionError: no such shape\.") as no:
        load(name, asking_folder_of)
    assert "\n" not in str(no.value)


def test_a_classifier_is_compared_where_no_test_covers_it_and_nowhere_else(
    folder_of: FolderOf, compared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_reward_model(folder_of("llama"), device="cpu", dtype="float32")
    assert compared == []
    monkeypatch.setattr(classifiers, "DECODERS", frozenset())
    load_reward_model(folder_of("llama"), device="cpu", dtype="float32")
    assert compared == ["LlamaForSequenceClassification"] * 5


def test_a_text_that_has_no_reward_is_not_compared(asking_folder_of: FolderOf) -> None:
    rm = opened(asking_folder_of("lm"), "judge", JUDGE)
    (without, _), *_ = rm.pipeline.ids(alike.TEXTS)
    plain = alike.plain_rewards(
        rm.model,
        rm.pipeline,
        lambda output, ids: None if ids == without else output.logits.sum(),
        covered=frozenset(),
    )
    assert plain is not None
    assert plain.pairs == alike.TEXTS[1:]
    assert plain.values.shape == (4,)


@pytest.mark.usefixtures("uncovered")
def test_rewards_that_are_no_numbers_are_refused(asking_folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = alike._output

    def broken(*given: Any) -> Any:
        output = plain(*given)
        output.logits = output.logits * torch.nan
        return output

    monkeypatch.setattr(alike, "_output", broken)
    with pytest.raises(ModelError, match="gives short texts NaN or infinity, in plain transformers, too"):
        load("judge", asking_folder_of)


def test_an_rm_that_takes_none_of_the_texts_is_not_taken_for_alike(asking_folder_of: FolderOf) -> None:
    rm = opened(asking_folder_of("lm"), "judge", JUDGE)
    with pytest.raises(ModelError, match="takes none of five short texts"):
        alike.require_alike(rm, alike.PlainRewards((), np.zeros(0)))
