"""Every text classifier and LM of transformers: plain transformers' rewards however asked for, or a refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf

from miner.errors import ModelError
from miner.rewards import load_reward_model
from miner.rewards.loading.covered import DECODERS, ENCODERS
from miner.rewards.text.pipeline import plain_prompt
from tests.rewards.asking_models import JUDGE_TEMPLATE, opened, ways
from tests.rewards.conformance import TOLERANCE, plain_rewards, violations
from tests.rewards.every_architecture import decodes, names, save, save_lm
from tests.rewards.models import PAIRS

NOT_ALIKE = {  # what of them depends on how a text is asked for
    "xlnet": "padded right",
    "bart": "same number of <eos>",
    "t5": "same number of <eos>",
    "fnet": "each alone",
    "convbert": "each alone",
}


@pytest.mark.parametrize("name", [name for name in names() if name in DECODERS | ENCODERS])
def test_a_covered_architecture_gives_plain_transformers_rewards(name: str, tmp_path: Path) -> None:
    folder = save(name, tmp_path / name)
    rm = load_reward_model(folder, device="cpu", dtype="float32")
    assert violations(rm, PAIRS, plain_rewards(folder, PAIRS)) == []
    assert (type(rm.pipeline).__name__ == "ChatPipeline") == decodes(name) == (name in DECODERS)


def test_many_are_covered() -> None:
    assert len(set(names()) & (DECODERS | ENCODERS)) >= 56
    assert set(names()) >= DECODERS | ENCODERS
    assert not DECODERS & ENCODERS


@pytest.mark.parametrize("name", NOT_ALIKE)
def test_an_architecture_whose_rewards_depend_on_their_company_is_refused(name: str, tmp_path: Path) -> None:
    folder = save(name, tmp_path / name)
    with pytest.raises(ModelError) as caught:
        load_reward_model(folder, device="cpu", dtype="float32")
    assert "rmminer mine --rm http://" in str(caught.value)
    assert "\n" not in str(caught.value)


SCALED = {"modernbert-decoder"}  # whose logits are no product of its last hidden states: it can write, not be asked
ASKED = {"template": JUDGE_TEMPLATE, "low": 1, "high": 5, "chat": False}
WRITING = {**ASKED, "readout": "text", "max_new_tokens": 1}


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_a_covered_decoder_that_is_asked_gives_plain_transformers_answers(name: str, tmp_path: Path) -> None:
    folder = save_lm(name, tmp_path / name)
    plain = plain_logits(folder)
    writing = opened(folder, "judge", WRITING)
    rows = writing.pipeline.ids(PAIRS)
    with torch.inference_mode():
        torch.testing.assert_close(writing.first_logits(writing.model, rows), plain, atol=1e-3, rtol=1e-4)
    if name in SCALED:
        with pytest.raises(ModelError, match="scales its logits"):
            opened(folder, "judge", ASKED)
        return
    rm = opened(folder, "judge", ASKED)
    numbers = rm.pipeline.tokenizer.convert_tokens_to_ids(list("12345"))
    expected = torch.softmax(plain[:, numbers], -1) @ torch.arange(1.0, 6.0)
    for way, ask in ways(rm).items():
        np.testing.assert_allclose(ask(PAIRS), expected, atol=TOLERANCE, err_msg=way)
    for way, other in rm.other_ways().items():
        np.testing.assert_allclose([one.reward for one in other.exact(PAIRS)], expected, atol=TOLERANCE, err_msg=way)


def plain_logits(folder: Path) -> torch.Tensor:
    """Of the next token behind each judge's question, one at a time: (n_pairs, vocabulary)."""
    model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    texts = [
        JUDGE_TEMPLATE.replace("{prompt}", plain_prompt(pair.prompt)).replace("{response}", pair.response)
        for pair in PAIRS
    ]
    with torch.inference_mode():
        rows = [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]
        return torch.stack([model(input_ids=row, attention_mask=torch.ones_like(row)).logits[0, -1] for row in rows])


@pytest.mark.parametrize("table", [ASKED, WRITING], ids=["asked", "writing"])
@pytest.mark.parametrize("name", ["plbart", "bigbird_pegasus"])
def test_an_lm_that_reads_what_it_is_padded_with_is_refused(
    name: str, table: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="other rewards padded left than each alone in plain transformers") as caught:
        opened(save_lm(name, tmp_path / name), "judge", table)
    assert "rmminer mine --rm http://" in str(caught.value)
    assert "\n" not in str(caught.value)
