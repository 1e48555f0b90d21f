"""The reward of a text is the same alone, in a batch, padded left or right, cached or not, and plain transformers'.

The suite must be able to fail: each fault put into an adapter is reported, for every architecture that it can affect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.records import Message
from miner.rewards import load_reward_model
from miner.rewards.adapters.causal import CausalRewardModel
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair
from miner.rewards.text.pipeline import ChatPipeline
from tests.rewards import faults
from tests.rewards.conformance import TOLERANCE, Rewards, plain_rewards, violations
from tests.rewards.models import ARCHITECTURES, BOS_WRITING, CAUSAL, ENCODERS, PAIRS, WINDOW, WINDOWED, conversation

pytestmark = pytest.mark.ranges

RmOf = Callable[[str], TransformerRewardModel]
ExpectedOf = Callable[[str], Rewards]

DAMAGE = {
    faults.doubled_bos: BOS_WRITING,
    faults.one_token_early: CAUSAL,
    faults.before_first_padding: ("qwen3", "gpt_neox"),  # where the padding id occurs in texts
    faults.pooled_one_column_off: ENCODERS,
    faults.stretched_positions: [name for name in ARCHITECTURES if name != "deberta_v2"],
    faults.restarted_positions: CAUSAL,
    faults.column_positions: ("gpt2",),  # rotary positions are blind to a constant shift
    faults.ignored_mask: ARCHITECTURES,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_reward_is_plain_transformers_however_it_is_asked(name: str, rm_of: RmOf, expected_of: ExpectedOf) -> None:
    assert violations(rm_of(name), PAIRS, expected_of(name)) == []


@pytest.mark.parametrize(("fault", "name"), [(fault, name) for fault, names in DAMAGE.items() for name in names])
def test_conformance_reports_an_injected_fault(
    fault: Callable[[TransformerRewardModel], faults.Fault], name: str, rm_of: RmOf, expected_of: ExpectedOf
) -> None:
    with fault(rm_of(name)) as faulty:
        assert violations(faulty, PAIRS, expected_of(name)) != []


def test_conformance_reports_rewards_too_close_together_to_tell(rm_of: RmOf, expected_of: ExpectedOf) -> None:
    assert "spread" in violations(rm_of("llama"), PAIRS[:1], expected_of("llama")[:1])[0]


def test_deberta_takes_no_notice_of_position_ids(rm_of: RmOf, expected_of: ExpectedOf) -> None:
    """Why the fault above is not asked of it."""
    with faults.stretched_positions(rm_of("deberta_v2")) as same:
        assert violations(same, PAIRS, expected_of("deberta_v2")) == []


@pytest.mark.parametrize("name", WINDOWED)
def test_texts_reach_past_the_sliding_window(
    name: str, folder_of: Callable[[str], Path], rm_of: RmOf, expected_of: ExpectedOf
) -> None:
    """Without its window the model gives other rewards to the long texts, so the suite does test windows."""
    from transformers import AutoModelForSequenceClassification

    wide = AutoModelForSequenceClassification.from_pretrained(folder_of(name), **WINDOWED[name]).eval()
    long = [i for i, pair in enumerate(PAIRS) if rm_of(name).n_tokens(pair) > 2 * WINDOW]
    rewards = replace(rm_of(name), model=wide, ranking_model=wide).rewards([PAIRS[i] for i in long])
    assert len(long) > len(PAIRS) / 2
    assert np.abs(rewards - expected_of(name)[long]).min() > TOLERANCE


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\ue000"), max_size=60))
@pytest.mark.parametrize("name", ["llama", "gemma2", "mistral", "bert", "deberta_v2"])
def test_any_text_gets_the_reward_of_plain_transformers(
    name: str, text: str, rm_of: RmOf, folder_of: Callable[[str], Path]
) -> None:
    pair = Pair(conversation("What does this function do?"), text)
    assert rm_of(name).reward(pair) == pytest.approx(plain_rewards(folder_of(name), [pair])[0], abs=TOLERANCE)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "modernbert"])
def test_rewards_do_not_depend_on_order_or_company(
    name: str, data: st.DataObject, rm_of: RmOf, expected_of: ExpectedOf
) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(PAIRS) - 1), max_size=12))
    rewards = rm_of(name).rewards([PAIRS[i] for i in chosen])
    assert rewards.shape == (len(chosen),)
    np.testing.assert_allclose(rewards, expected_of(name)[chosen], atol=TOLERANCE)


def test_bf16_ranks_and_fp32_confirms(folder_of: Callable[[str], Path], expected_of: ExpectedOf) -> None:
    from miner.rewards import load_reward_model

    rm = load_reward_model(folder_of("llama"), device="cpu", dtype="bfloat16")
    assert (rm.reward_dtype, rm.ranking_dtype) == ("float32", "bfloat16")
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), expected_of("llama"), atol=TOLERANCE)
    assert np.corrcoef(rm.rewards(PAIRS), expected_of("llama"))[0, 1] > 0.97
    assert np.abs(rm.rewards(PAIRS) - expected_of("llama")).max() > TOLERANCE  # it does rank in bf16


def test_native_confirmation_keeps_exact_rewards_exact(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from miner.rewards import load_reward_model

    AutoModelForSequenceClassification.from_pretrained(folder_of("llama")).bfloat16().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder_of("llama")).save_pretrained(tmp_path)
    rm = load_reward_model(tmp_path, device="cpu", dtype="bfloat16", confirm_dtype="native")
    assert rm.reward_dtype == "bfloat16"
    assert rm.model is rm.ranking_model
    rows_at_once: list[int] = []
    rm.model.base_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: rows_at_once.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    assert rm.exact_rewards(PAIRS).tolist() == [rm.reward(pair) for pair in PAIRS]
    assert set(rows_at_once) == {1}
    head = rm.model.get_submodule(rm.readout.head)
    assert {parameter.dtype for parameter in head.parameters()} == {torch.float32}
    as_bf16 = torch.tensor(rm.exact_rewards(PAIRS)).to(torch.bfloat16).double().numpy()
    assert (rm.exact_rewards(PAIRS) != as_bf16).any(), "finer steps than bf16 has"


def test_padding_token_of_the_tokenizer_is_of_no_account(rm_of: RmOf, expected_of: ExpectedOf) -> None:
    """Padding is masked, so which id stands there changes nothing: here one that also occurs in the texts."""
    llama = rm_of("llama")
    assert isinstance(llama, CausalRewardModel)
    rm: Any = replace(llama, share_prefixes=False)
    rm.pad_id = rm.pipeline.ids(PAIRS)[0][0][5]
    np.testing.assert_allclose(rm.rewards(PAIRS), expected_of("llama"), atol=TOLERANCE)


def test_a_ranking_model_reads_its_reward_off_in_fp32(tiny_rm_folder: Path) -> None:
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="bfloat16")
    assert rm.ranking_model.get_parameter("classifier.weight").dtype is torch.float32
    prompt = (Message(role="user", content="a"),)
    rewards = rm.rewards([Pair(prompt, f"the file {'x' * n}") for n in range(1, 60)])
    as_bf16 = torch.tensor(rewards).to(torch.bfloat16).double().numpy()
    assert (rewards != as_bf16).any(), "finer steps than bf16 has"


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize(
    "response",
    ["plain words", "  spaces around  ", "two\nlines\n", "", "</think> a [b] {c} `d` # e", "<|x|>", "🙂 naïve"],
)
def test_a_response_in_its_frame_is_what_the_template_renders(name: str, response: str, rm_of: RmOf) -> None:
    pipeline = rm_of(name).pipeline
    assert isinstance(pipeline, ChatPipeline)
    for prompt in {pair.prompt for pair in PAIRS}:
        assert pipeline._framed(Pair(prompt, response)) == pipeline.render(Pair(prompt, response))


TRIMMING = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] | trim }}\n{% endfor %}",
    "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}",
    "{% for m in messages %}{{ m['content'].split('a')[0] }};{% endfor %}",
    "{% for m in messages %}{{ m['role'] }}{% endfor %}",
    "{% for m in messages %}<{{ m['content'] }}>{% endfor %}",
    "{% for m in messages %}[{{ m['content'].lstrip('\n') }}]{% endfor %}",
    "{% for m in messages %}[{{ m['content'].rstrip('\n') }}]{% endfor %}",
    "{% for m in messages %}[{{ m['content'].strip('\t') }}]{% endfor %}",
    "{% for m in messages %}[{{ m['content'].strip('\u00a0') }}]{% endfor %}",
)
STRIPPED = (
    "\nReturn a list.",
    "\n\nReturn",
    "Return\n\n",
    "\tReturn",
    "Return\t",
    "\u00a0Return\u00a0",
    "\u3000",
    " \n",
)


@pytest.mark.parametrize("template", TRIMMING)
def test_a_template_that_rewrites_responses_is_run_for_each(template: str, rm_of: RmOf) -> None:
    import copy

    pipeline = rm_of("llama").pipeline
    assert isinstance(pipeline, ChatPipeline)
    tokenizer = copy.deepcopy(pipeline.tokenizer)
    tokenizer.chat_template = template
    rewriting = replace(pipeline, tokenizer=tokenizer)
    for response in ("plain words", "  spaces around  ", "an a", "two\nlines\n", *STRIPPED):
        pair = Pair(PAIRS[0].prompt, response)
        assert rewriting._framed(pair) == rewriting.render(pair)
