"""A process RM's reward is its score at the last step's tag, or the least or the product of all, by configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from pydantic import ValidationError

from miner.config.reward_model import RewardModelSection
from miner.errors import ModelError, TooLongError
from miner.rewards.base import Pair, SwapRequest
from miner.rewards.text.pipeline import plain_prompt
from tests.rewards.asking_models import TAG, opened, ways
from tests.rewards.models import PAIRS

FolderOf = Callable[[str], Path]

TOLERANCE = 1e-4
PROMPT = PAIRS[0].prompt
STEPS = "It opens a file.\n\nIt reads the text, kindly.\n\nIt closes it"
CASES = [*PAIRS, Pair(PROMPT, STEPS), Pair(PROMPT, "\n\n\n\none\n\n \n\ntwo\n\n"), Pair(PROMPT, "three \n\n and four")]
TEMPLATE = "Question: {prompt}\nSteps: {response}\n"
ASKED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "classifier, chat": ("stepping_classifier", {"tag": TAG}),
    "classifier, 0 is good": ("stepping_classifier", {"tag": TAG, "good_label": 0, "template": TEMPLATE}),
    "LM, chat": ("stepping_lm", {"tag": TAG, "answers": ["+", "-"]}),
    "LM, template": ("stepping_lm", {"tag": f" {TAG}\n", "step_token": TAG, "template": TEMPLATE}),
}
REDUCED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "last": lambda scores: scores[-1],
    "min": lambda scores: scores.min(),
    "product": lambda scores: torch.log(torch.sigmoid(scores)).sum(),
}


def plain_scores(folder: Path, asked: Mapping[str, Any], pair: Pair) -> torch.Tensor:
    """The log-odds at each tag by plain transformers."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    steps = [step for step in pair.response.split("\n\n") if step.strip()] or [pair.response]
    tagged = "".join(step + asked["tag"] for step in steps)
    if "template" in asked:
        text = asked["template"].replace("{prompt}", plain_prompt(pair.prompt)).replace("{response}", tagged)
        inputs = tokenizer(text, return_tensors="pt")
    else:
        turns = [{"role": turn.role, "content": turn.content} for turn in pair.prompt]
        inputs = tokenizer.apply_chat_template(
            [*turns, {"role": "assistant", "content": tagged}], return_dict=True, return_tensors="pt"
        )
    at = (inputs["input_ids"][0] == tokenizer.convert_tokens_to_ids(TAG)).nonzero()[:, 0]
    assert len(at) == len(steps)
    logits: torch.Tensor
    if "Token" in str(hf.AutoConfig.from_pretrained(folder).architectures):
        logits = hf.AutoModelForTokenClassification.from_pretrained(folder).eval()(**inputs).logits[0, at]
        good = asked.get("good_label", 1)
        return logits[:, good] - logits[:, 1 - good]
    logits = hf.AutoModelForCausalLM.from_pretrained(folder).eval()(**inputs).logits[0, at]
    plus, minus = (tokenizer.convert_tokens_to_ids(sign) for sign in "+-")
    return logits[:, plus] - logits[:, minus]


@pytest.mark.parametrize("reduce", REDUCED)
@pytest.mark.parametrize("name", ASKED)
def test_reward_is_plain_transformers_at_the_tags_however_it_is_asked(
    name: str, reduce: str, asking_folder_of: FolderOf
) -> None:
    model, asked = ASKED[name]
    folder = asking_folder_of(model)
    with torch.no_grad():
        expected = [float(REDUCED[reduce](plain_scores(folder, asked, pair))) for pair in CASES]
    assert np.ptp(expected) > 1.0
    for way, ask in ways(opened(folder, "process", {**asked, "reduce": reduce})).items():
        np.testing.assert_allclose(ask(CASES), expected, atol=TOLERANCE, err_msg=way)


@pytest.mark.parametrize("name", ASKED)
def test_tokens_of_a_response_in_steps_are_found_where_they_stand(name: str, asking_folder_of: FolderOf) -> None:
    rm = opened(asking_folder_of(ASKED[name][0]), "process", ASKED[name][1])
    encoded = rm.pipeline.encode(Pair(PROMPT, STEPS))
    for position, (start, end) in zip(encoded.positions, encoded.spans, strict=True):
        assert rm.pipeline.tokenizer.decode([encoded.ids[position]]).strip() == STEPS[start:end].strip()
    covered = "".join(STEPS[start:end] for start, end in encoded.spans)
    assert covered.replace(" ", "") == STEPS.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize("reduce", REDUCED)
@pytest.mark.parametrize("name", ["classifier, chat", "LM, template"])
def test_gain_is_the_slope_of_the_reward(name: str, reduce: str, asking_folder_of: FolderOf) -> None:
    rm = opened(asking_folder_of(ASKED[name][0]), "process", {**ASKED[name][1], "reduce": reduce})
    pair = Pair(PROMPT, STEPS)
    (table,) = rm.swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response=STEPS, k=1)])
    encoded, rows = rm.pipeline.encode(pair), rm.embedding_rows()
    checked = 0
    for position, swaps in zip(encoded.positions, table, strict=True):
        for swap in swaps:
            after = rm.pipeline.ids([Pair(PROMPT, swap.apply(STEPS))])[0][0]
            change = 1e-3 * (rows[after[position]] - rows[encoded.ids[position]])
            up, down = (moved(rm, pair, position, sign * change) for sign in (1, -1))
            assert swap.gain == pytest.approx((up - down) / 2e-3, rel=0.1, abs=0.1)
            checked += 1
    assert checked > 5


def moved(rm: Any, pair: Pair, position: int, change: torch.Tensor) -> float:
    def move(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        out = output.clone()
        out[0, position] += change
        return out

    hook = rm.model.get_input_embeddings().register_forward_hook(move)
    try:
        return float(rm.reward(pair))
    finally:
        hook.remove()


def test_a_step_that_melts_into_its_tag_has_no_reward(asking_folder_of: FolderOf) -> None:
    rm = opened(asking_folder_of("stepping_lm"), "process", {"tag": TAG})
    row = rm.pipeline.ids([Pair(PROMPT, "one")])[0]
    without = (tuple(i for i in row[0] if i != rm.step_id), ())
    values = rm.values(rm.model, [row, without, row])
    assert np.isnan(values).tolist() == [False, True, False]
    assert values[0] == pytest.approx(rm.reward(Pair(PROMPT, "one")), abs=TOLERANCE)


def test_over_long_input_is_an_error(asking_folder_of: FolderOf) -> None:
    rm = opened(asking_folder_of("stepping_lm"), "process", {"tag": TAG})
    for ask in (rm.reward, lambda pair: rm.rewards([*CASES, pair]), rm.n_tokens):
        with pytest.raises(TooLongError, match="over its maximum of 512"):
            ask(Pair(PROMPT, "It opens a file.\n\n" * 200))


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("stepping_lm", {"tag": "several words"}, r"has as tokens .*; expected one"),
        ("stepping_lm", {"tag": f" {TAG} so", "step_token": "ки"}, r"expected 'ки' among them"),
        ("stepping_lm", {"tag": TAG, "answers": ["good", "wonderful"]}, "rm.process.answers: '.*' is not one token"),
        ("two_label_encoder", {"tag": "."}, "expected one that ends in ForCausalLM or LMHeadModel"),
        ("three_label_classifier", {"tag": TAG}, "has 3 labels; a process RM has two"),
        ("ending_lm", {"tag": "."}, "has no chat template; give rm.process.template"),
    ],
)
def test_a_model_that_cannot_be_read_so_is_refused_on_one_line(
    name: str, asked: dict[str, Any], message: str, asking_folder_of: FolderOf
) -> None:
    with pytest.raises(ModelError, match=message) as refusal:
        opened(asking_folder_of(name), "process", asked)
    assert "\n" not in str(refusal.value)


def test_a_table_without_a_tag_or_with_half_a_template_is_refused() -> None:
    for table, message in (({}, "tag"), ({"tag": TAG, "template": "{prompt}"}, r"has to hold \{response\} once")):
        with pytest.raises(ValidationError, match=message):
            RewardModelSection.model_validate({"source": "x", "kind": "process", "process": table})
