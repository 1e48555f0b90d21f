"""A judge's number is the expectation over the scale's tokens, or what it writes; what holds no number is no reward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from pydantic import ValidationError

from miner.config.reward_model import RewardModelSection
from miner.errors import CapabilityError, ConfigError, ModelError, TooLongError
from miner.judging.criteria import MIN_CLEAN, clean_criteria
from miner.rewards.base import Pair, SwapRequest
from miner.rewards.text.pipeline import plain_prompt
from tests.rewards.asking_models import JUDGE_TEMPLATE, opened, ways
from tests.rewards.models import PAIRS

FolderOf = Callable[[str], Path]

TOLERANCE = 1e-4
ASKED = {"template": JUDGE_TEMPLATE, "low": 1, "high": 5}
WRITING = {**ASKED, "readout": "text", "max_new_tokens": 4, "number": r"(\d)", "low": 0, "high": 9}
TEXT = "It opens a file, reads the text and closes it"
PROMPT = PAIRS[0].prompt


def judgement_inputs(folder: Path, pair: Pair, *, chat: bool) -> tuple[Any, Any]:
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    text = JUDGE_TEMPLATE.replace("{prompt}", plain_prompt(pair.prompt)).replace("{response}", pair.response)
    if not chat:
        return tokenizer, tokenizer(text, return_tensors="pt")
    turns = [{"role": "user", "content": text}]
    return tokenizer, tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )


@pytest.mark.parametrize("chat", [True, False])
def test_reward_is_the_mean_of_the_scale_under_plain_transformers(chat: bool, asking_folder_of: FolderOf) -> None:
    folder = asking_folder_of("lm")
    model = hf.AutoModelForCausalLM.from_pretrained(folder).eval()
    expected = []
    for pair in PAIRS:
        tokenizer, inputs = judgement_inputs(folder, pair, chat=chat)
        with torch.no_grad():
            p = torch.softmax(model(**inputs).logits[0, -1], -1)
        numbers = {n: float(p[tokenizer.convert_tokens_to_ids(str(n))]) for n in range(1, 6)}
        expected.append(sum(n * weight for n, weight in numbers.items()) / sum(numbers.values()))
    assert np.ptp(expected) > 0.3
    rm = opened(folder, "judge", {**ASKED, "chat": chat})
    for way, ask in ways(rm).items():
        np.testing.assert_allclose(ask(PAIRS), expected, atol=TOLERANCE, err_msg=way)


def test_gains_of_an_expectation_rank_like_the_true_changes_of_a_small_step(asking_folder_of: FolderOf) -> None:
    rm = opened(asking_folder_of("lm"), "judge", ASKED)
    (table,) = rm.swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response=TEXT, k=1)])
    encoded, rows = rm.pipeline.encode(Pair(PROMPT, TEXT)), rm.embedding_rows()
    checked = 0
    for position, swaps in zip(encoded.positions, table, strict=True):
        for swap in swaps:
            after = rm.pipeline.ids([Pair(PROMPT, swap.apply(TEXT))])[0][0]
            change = 2e-3 * (rows[after[position]] - rows[encoded.ids[position]])
            up, down = (moved(rm, position, sign * change) for sign in (1, -1))
            assert swap.gain == pytest.approx((up - down) / 4e-3, rel=0.1, abs=0.05)
            checked += 1
    assert checked > 5


def moved(rm: Any, position: int, change: torch.Tensor) -> float:
    def move(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        out = output.clone()
        out[0, position] += change
        return out

    hook = rm.model.get_input_embeddings().register_forward_hook(move)
    try:
        return float(rm.reward(Pair(PROMPT, TEXT)))
    finally:
        hook.remove()


def test_what_the_judge_writes_is_what_transformers_generates(asking_folder_of: FolderOf) -> None:
    folder = asking_folder_of("lm")
    rm = opened(folder, "judge", WRITING)
    model = hf.AutoModelForCausalLM.from_pretrained(folder).eval()
    model.generation_config.pad_token_id = 0
    for pair, written in zip(PAIRS, rm.written(rm.model, rm.pipeline.ids(PAIRS)), strict=True):
        tokenizer, inputs = judgement_inputs(folder, pair, chat=True)
        out = model.generate(**inputs, max_new_tokens=4, do_sample=False)
        assert written == tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_writing_gives_the_number_read_however_it_is_asked(
    asking_folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    rm = opened(asking_folder_of("lm"), "judge", {**WRITING, "number": r"^\s*(\d+)\s*$"})
    said = {rm.pipeline.ids([pair])[0]: f" {n % 12}\n" for n, pair in enumerate(PAIRS)}
    monkeypatch.setattr(type(rm), "written", lambda _self, _model, rows: [said[row] for row in rows])
    expected = [float(n % 12) if n % 12 <= 9 else np.nan for n in range(len(PAIRS))]
    assert np.isnan(expected).any()
    for way, ask in ways(rm).items():
        np.testing.assert_array_equal(ask(PAIRS), expected, err_msg=way)


@pytest.mark.parametrize(
    ("number", "text", "value"),
    [
        (r"^\s*(-?\d+(?:\.\d+)?)\s*$", " 4.5\n", 4.5),
        (r"^\s*(-?\d+(?:\.\d+)?)\s*$", "4 out of 5", None),
        (r"^\s*(-?\d+(?:\.\d+)?)\s*$", "", None),
        (r"^\s*(-?\d+(?:\.\d+)?)\s*$", "11", None),
        (r"\[\[(\d+)\]\]", "I say [[3]], so [[3]]", 3.0),
        (r"\[\[(\d+)\]\]", "[[3]] or [[4]]", None),
        (r"(\d)?", "none", None),
    ],
)
def test_a_number_is_read_strictly(number: str, text: str, value: float | None, asking_folder_of: FolderOf) -> None:
    rm = replace(writing_judge(asking_folder_of), number=number)
    assert rm.read(text) == value or (value is None and np.isnan(rm.read(text)))


def writing_judge(asking_folder_of: FolderOf) -> Any:
    return opened(asking_folder_of("lm"), "judge", WRITING)


def test_a_judge_that_writes_has_no_gradients_and_says_so(asking_folder_of: FolderOf) -> None:
    from attacks import known_attacks
    from miner.searching.oracle import Oracle

    rm = writing_judge(asking_folder_of)
    assert not rm.has_gradients
    assert opened(asking_folder_of("lm"), "judge", ASKED).has_gradients
    with pytest.raises(CapabilityError, match="lm gives no token gradients"):
        rm.swaps([])
    with pytest.raises(CapabilityError, match="attack 'gcg' needs token gradients"):
        Oracle(rm=rm).require(known_attacks()["gcg"]())


def test_texts_without_a_number_set_no_bar(asking_folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch) -> None:
    from corpus.records import Message, Prompt

    prompts = [
        Prompt(conversation=(Message(role="user", content=f"What is {n}?"),), reference=f"It is {n}.")
        for n in range(MIN_CLEAN + 1)
    ]
    rm = writing_judge(asking_folder_of)
    said = {rm.pipeline.ids([Pair(p.conversation, str(p.reference))])[0]: str(n) for n, p in enumerate(prompts)}
    monkeypatch.setattr(type(rm), "written", lambda _self, _model, rows: [said[row] for row in rows])
    rm = replace(rm, number=r"^(\d+)$", high=MIN_CLEAN - 1)
    criteria = clean_criteria(rm, prompts, quantile=0.9)
    assert criteria.n == MIN_CLEAN
    assert criteria.threshold == pytest.approx(np.quantile(np.arange(MIN_CLEAN), 0.9))
    with pytest.raises(ConfigError, match=r"10 of 21 clean references no reward; at least 95%"):
        clean_criteria(replace(rm, high=10), prompts, quantile=0.9)


def test_over_long_input_is_an_error(asking_folder_of: FolderOf) -> None:
    rm = opened(asking_folder_of("lm"), "judge", ASKED)
    for ask in (rm.reward, lambda pair: rm.rewards([*PAIRS, pair]), rm.n_tokens):
        with pytest.raises(TooLongError, match="over its maximum of 512"):
            ask(Pair(PROMPT, "It opens a file. " * 200))


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("lm", {**ASKED, "high": 12345}, "'10000' is not one token|is not one token behind"),
        ("two_label_encoder", ASKED, "expected one that ends in ForCausalLM"),
        ("ending_lm", ASKED, "has no chat template; set rm.judge.chat = false"),
        ("ending_lm", {**ASKED, "chat": False}, "ends every text with </s>"),
    ],
)
def test_a_model_that_cannot_judge_so_is_refused_on_one_line(
    name: str, asked: dict[str, Any], message: str, asking_folder_of: FolderOf
) -> None:
    with pytest.raises(ModelError, match=message) as refusal:
        opened(asking_folder_of(name), "judge", asked)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"template": "Rate {prompt}:"}, r"has to hold \{response\} once"),
        ({**ASKED, "low": 5, "high": 1}, "has to be below rm.judge.high; got 5 and 1"),
        ({**ASKED, "number": "("}, "is no regular expression"),
        ({**ASKED, "number": r"\d"}, "needs a group"),
    ],
)
def test_a_table_that_cannot_be_asked_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RewardModelSection.model_validate({"source": "x", "kind": "judge", "judge": asked})
