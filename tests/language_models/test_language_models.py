"""A causal LM reads and writes the same text whatever stands beside it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.records import Message
from miner.errors import ModelError, TooLongError
from miner.language_models import LanguageModel, load_language_model
from miner.language_models.training import LanguageModelRecipe, train_language_model

TEXTS = [
    "Return the name of the file.",
    "",
    "a",
    "Open the given path and read the first line of it.",
    "🙂 naïve",
    "the",
]
PROMPT = (Message(role="user", content="What does `open` do?"),)
MAX_LENGTH = 48
LM_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=60)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = Path(tmp_path_factory.mktemp("lm"))
    recipe = LanguageModelRecipe(
        vocabulary=300, hidden=32, layers=2, heads=2, steps=100, batch_rows=4, row_tokens=32, max_length=MAX_LENGTH
    )
    texts = ["What does `open` do? Return the name of the file.", "What does `read` do? Open the given path."] * 40
    train_language_model(texts, recipe, out=out, seed=0, progress=lambda _done, _total: None)
    return out


@pytest.fixture(scope="session")
def lm(folder: Path) -> LanguageModel:
    return load_language_model(folder, device="cpu")


def test_every_token_costs_something(lm: LanguageModel) -> None:
    for text, nll in zip(TEXTS, lm.token_nll(TEXTS), strict=True):
        assert len(nll) == len(lm.tokenizer(text, add_special_tokens=False)["input_ids"])
        assert (nll > 0).all()


def test_the_likelihood_is_the_models_own(lm: LanguageModel) -> None:
    ids = lm.tokenizer(TEXTS[0], add_special_tokens=False, return_tensors="pt")["input_ids"]
    ids = torch.cat([torch.tensor([[lm.tokenizer.bos_token_id]]), ids], dim=1)
    with torch.inference_mode():
        loss = lm.model(input_ids=ids, labels=ids).loss
    assert float(np.mean(lm.token_nll(TEXTS)[0])) == pytest.approx(float(loss), abs=1e-5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(LM_TEXT, min_size=1, max_size=6))
def test_order_and_company_of_the_texts_do_not_matter(lm: LanguageModel, texts: list[str]) -> None:
    together, backwards = lm.token_nll(texts), lm.token_nll(texts[::-1])[::-1]
    for text, one, other in zip(texts, together, backwards, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
        np.testing.assert_allclose(one, lm.token_nll([text])[0], atol=1e-4)


def test_a_text_over_the_maximum_length_is_read_in_windows(lm: LanguageModel) -> None:
    text = " ".join(TEXTS[0].split() * 30)
    n_tokens = len(lm.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    (nll,) = lm.token_nll([text])
    assert n_tokens > 4 * MAX_LENGTH
    assert len(nll) == n_tokens
    room = MAX_LENGTH - 1
    head = lm.tokenizer.decode(lm.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:room])
    np.testing.assert_allclose(nll[:room], lm.token_nll([str(head)])[0], atol=1e-4)


def test_no_texts_no_likelihoods(lm: LanguageModel) -> None:
    assert lm.token_nll([]) == []


def test_the_seed_decides_the_samples_and_nothing_global_moves(lm: LanguageModel) -> None:
    before = torch.random.get_rng_state()
    first = lm.sample(PROMPT, 8, seed=3, max_new_tokens=12)
    torch.rand(5)
    assert lm.sample(PROMPT, 8, seed=3, max_new_tokens=12) == first
    torch.random.set_rng_state(before)
    lm.sample(PROMPT, 2, seed=4, max_new_tokens=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert lm.sample(PROMPT, 8, seed=4, max_new_tokens=12) != first


def test_as_many_continuations_as_asked_for_and_tokens_within_bounds(lm: LanguageModel) -> None:
    samples = lm.sample(PROMPT, 7, seed=0, max_new_tokens=9)
    assert len(samples.continuations) == 7
    assert 7 <= samples.policy_tokens <= 7 * 9
    for continuation in samples.continuations:
        assert continuation.log_probability < 0
        assert "</s>" not in continuation.text
        assert PROMPT[0].content not in continuation.text


def test_the_log_probability_is_what_the_model_gives_the_text(lm: LanguageModel) -> None:
    """Where decoding and encoding again gives the tokens back, the end mark aside."""
    prompt = lm.tokenizer(PROMPT[0].content, add_special_tokens=False)["input_ids"]
    end = lm.tokenizer.eos_token_id
    checked = 0
    for continuation in lm.sample(PROMPT, 40, seed=1, max_new_tokens=20, temperature=0.7).continuations:
        written = lm.tokenizer(" " + continuation.text, add_special_tokens=False)["input_ids"] + [end]
        ids = torch.tensor([[lm.start_token, *prompt, *written]])
        with torch.inference_mode():
            log_p = (lm.model(input_ids=ids).logits[0, :-1] / 0.7).log_softmax(-1)
        expected = float(log_p.gather(1, ids[0, 1:, None])[len(prompt) :].sum())
        checked += math.isclose(expected, continuation.log_probability, abs_tol=1e-3)
    assert checked >= 5


def test_near_temperature_zero_the_most_likely_text_is_written(lm: LanguageModel) -> None:
    samples = lm.sample(PROMPT, 5, seed=0, max_new_tokens=8, temperature=1e-6)
    assert len({c.text for c in samples.continuations}) == 1
    assert samples.continuations[0].log_probability == pytest.approx(0.0, abs=1e-6)


def test_a_prompt_without_room_for_an_answer_is_refused(lm: LanguageModel) -> None:
    with pytest.raises(TooLongError, match="Lower max_new_tokens"):
        lm.sample(PROMPT, 1, seed=0, max_new_tokens=MAX_LENGTH)


def test_a_chat_template_is_followed(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "chat"
    shutil.copytree(folder, copied)
    turns = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    template = "<s>" + turns + "{% if add_generation_prompt %}me:{% endif %}"
    (copied / "chat_template.jinja").write_text(template, encoding="utf-8")
    chat = load_language_model(copied, device="cpu")
    assert chat.tokenizer.decode(chat.prompt_ids(PROMPT)) == "<s>user: What does `open` do?\nme:"


def test_the_fingerprint_is_that_of_the_folder(folder: Path, lm: LanguageModel, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(folder, copied)
    assert load_language_model(copied, device="cpu").fingerprint == lm.fingerprint
    config = json.loads((copied / "config.json").read_text(encoding="utf-8"))
    (copied / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-5}), encoding="utf-8")
    assert load_language_model(copied, device="cpu").fingerprint != lm.fingerprint


def test_the_models_own_sampling_habits_are_left_out(folder: Path, lm: LanguageModel, tmp_path: Path) -> None:
    copied = tmp_path / "habits"
    shutil.copytree(folder, copied)
    habits = {"top_k": 1, "temperature": 0.01, "repetition_penalty": 5.0, "eos_token_id": 1, "do_sample": True}
    (copied / "generation_config.json").write_text(json.dumps(habits), encoding="utf-8")
    other = load_language_model(copied, device="cpu")
    asked: dict[str, Any] = {"seed": 0, "max_new_tokens": 10}
    assert other.sample(PROMPT, 6, **asked) == lm.sample(PROMPT, 6, **asked)


def test_bf16_runs_and_says_so(folder: Path, lm: LanguageModel) -> None:
    rough = load_language_model(folder, device="cpu", dtype="bfloat16")
    assert (rough.dtype, lm.dtype) == ("bfloat16", "float32")
    np.testing.assert_allclose(rough.token_nll(TEXTS)[0], lm.token_nll(TEXTS)[0], atol=0.15)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        load_language_model(tmp_path, device="cpu")


def test_training_again_gives_the_same_model(tmp_path: Path) -> None:
    recipe = LanguageModelRecipe(vocabulary=280, hidden=16, layers=1, heads=1, steps=4, batch_rows=2, row_tokens=16)
    texts = ["one two three four", "five six seven eight"] * 10
    prints: list[str] = []
    for seed in (0, 0, 1):
        out = tmp_path / str(len(prints))
        torch.rand(3)  # the seed decides, not where the global generator stands
        train_language_model(texts, recipe, out=out, seed=seed, progress=lambda _done, _total: None)
        prints.append(load_language_model(out, device="cpu").fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_next_tokens_are_the_models_own_best(lm: LanguageModel) -> None:
    rows, read = lm.next_tokens(PROMPT, ["", "Return the", "Open"], k=4)
    head = lm.prompt_ids(PROMPT)
    for prefix, row in zip(["", "Return the", "Open"], rows, strict=True):
        ids = [*head, *lm.tokenizer(f" {prefix}" if prefix else "", add_special_tokens=False)["input_ids"]]
        with torch.inference_mode():
            log_p = lm.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        best = [
            (
                str(lm.tokenizer.decode([*ids[len(head) :], int(token)], skip_special_tokens=True)).strip(),
                float(log_p[token]),
            )
            for token in log_p.argsort(descending=True)
        ]
        expected = [(text, value) for text, value in best if text != prefix][:4]
        assert [one.text for one in row] == [text for text, _ in expected]
        assert [one.log_probability for one in row] == pytest.approx([value for _, value in expected], abs=1e-4)
    assert read > 3 * len(head)


def test_a_prefix_that_leaves_no_room_has_no_next_token(lm: LanguageModel) -> None:
    rows, _ = lm.next_tokens(PROMPT, ["read " * MAX_LENGTH, "read"], k=3)
    assert rows[0] == ()
    assert len(rows[1]) == 3
