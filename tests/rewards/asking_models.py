"""Tiny random-weight models of the kinds that are no scalar classifiers, saved the way ``save_pretrained`` does.

``plain_*`` functions say with plain transformers alone, one text at a time, what each kind's reward is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from tokenizers import Tokenizer

from miner.config.reward_model import RewardModelSection
from miner.rewards.base import Pair
from miner.rewards.opening import open_reward_model
from miner.rewards.text.pipeline import plain_prompt
from tests.rewards.models import CHATML, PAIRS
from tests.rewards.tokenizers import byte_level, fast, framed, unigram, wordpiece

REFERENCES = {pair.prompt: f"The answer to {n} is good." for n, pair in enumerate(PAIRS)}
TEMPLATE = "POST: {prompt}\n\nRESPONSE A: {a}\n\nRESPONSE B: {b}\n\nWhich response is better? RESPONSE"
JUDGE_TEMPLATE = "Question: {prompt}\nAnswer: {response}\nHow good is it, from 1 to 5?"
TAG = "<step>"
_SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3}
_DECODER = {**_SIZES, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 512}
_ENCODER = {**_SIZES, "intermediate_size": 48, "max_position_embeddings": 512}
_ENDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def _decoder(kind: Any, head: Any, *, extra: tuple[str, ...] = (), **config: Any) -> tuple[Any, Any]:
    tokens = byte_level([*_ENDS, *extra])
    tokenizer = fast(tokens, template=CHATML + GENERATION, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.model_max_length = 512
    if extra:
        tokenizer.add_special_tokens({"additional_special_tokens": list(extra)})
    return head(kind(**_DECODER, vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=2, **config)), tokenizer


GENERATION = "{% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}"


def lm() -> tuple[Any, Any]:
    """A decoder whose output embedding is its own."""
    return _decoder(hf.Qwen2Config, hf.Qwen2ForCausalLM, tie_word_embeddings=False)


def tied_lm() -> tuple[Any, Any]:
    return _decoder(hf.LlamaConfig, hf.LlamaForCausalLM, tie_word_embeddings=True)


def stepping_lm() -> tuple[Any, Any]:
    """A causal LM with a step tag of its own in the vocabulary."""
    return _decoder(hf.Qwen2Config, hf.Qwen2ForCausalLM, extra=(TAG,))


def stepping_classifier() -> tuple[Any, Any]:
    return _decoder(hf.Qwen2Config, hf.Qwen2ForTokenClassification, extra=(TAG,), num_labels=2)


def three_label_classifier() -> tuple[Any, Any]:
    return _decoder(hf.Qwen2Config, hf.Qwen2ForTokenClassification, extra=(TAG,), num_labels=3)


def two_label_decoder() -> tuple[Any, Any]:
    return _decoder(hf.Qwen2Config, hf.Qwen2ForSequenceClassification, num_labels=2)


def _with_pieces(tokenizer: Tokenizer, *pieces: str) -> Tokenizer:
    """The same tokenizer with some likely pieces more."""
    state = json.loads(tokenizer.to_str())
    state["model"]["vocab"] += [[piece, -1.0] for piece in pieces]
    return Tokenizer.from_str(json.dumps(state))


def t5() -> tuple[Any, Any]:
    tokens = framed(_with_pieces(unigram(["<pad>", "</s>", "[UNK]"]), "▁A", "▁B"), "$A </s>", "$A </s> $B </s>")
    tokenizer = fast(tokens, pad_token="<pad>", eos_token="</s>", unk_token="[UNK]")
    config = hf.T5Config(  # type: ignore[call-arg]
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=1, initializer_factor=2.0,
    )  # fmt: skip
    return hf.T5ForConditionalGeneration(config), tokenizer


def _bert(num_labels: int) -> tuple[Any, Any]:
    tokens = framed(wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]"]), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    tokenizer = fast(tokens, types=True, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    config = hf.BertConfig(**_ENCODER | {"num_labels": num_labels}, vocab_size=tokens.get_vocab_size())
    return hf.BertForSequenceClassification(config), tokenizer


def two_label_encoder() -> tuple[Any, Any]:
    return _bert(2)


def one_logit_encoder() -> tuple[Any, Any]:
    return _bert(1)


def three_label_encoder() -> tuple[Any, Any]:
    return _bert(3)


def ending_lm() -> tuple[Any, Any]:
    """Its tokenizer ends every text."""
    tokenizer = fast(framed(byte_level(["<s>", "</s>"]), "<s> $A </s>", "<s> $A $B </s>"), bos_token="<s>")
    config = hf.Qwen2Config(**_DECODER, vocab_size=len(tokenizer))
    return hf.Qwen2ForCausalLM(config), tokenizer


def pairrm_without_markers() -> tuple[Any, Any]:
    model, tokenizer = pairrm()
    del model.config.cand2_prefix_id
    return model, tokenizer


def pairrm() -> tuple[Any, Any]:
    from miner.rewards.adapters.pairrm import PairRanker

    tokens = framed(unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]"]), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    tokenizer = fast(tokens, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")
    marks = ["<|source|>", "<|candidate1|>", "<|candidate2|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    source, first, second = (tokenizer.convert_tokens_to_ids(mark) for mark in marks)
    config = hf.DebertaV2Config(  # type: ignore[call-arg]
        **_ENCODER, vocab_size=len(tokenizer), relative_attention=True, position_biased_input=False,
        pos_att_type=["p2c", "c2p"], position_buckets=16, norm_rel_ebd="layer_norm", share_att_key=True,
        type_vocab_size=0, source_prefix_id=source, cand1_prefix_id=first, cand2_prefix_id=second, n_tasks=1,
        drop_out=0.05,
    )  # fmt: skip
    return PairRanker(config), tokenizer


BUILDERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    f.__name__: f
    for f in (
        lm, tied_lm, stepping_lm, stepping_classifier, two_label_decoder, t5, two_label_encoder, one_logit_encoder,
        pairrm, three_label_encoder, three_label_classifier, ending_lm, pairrm_without_markers,
    )
}  # fmt: skip


def build(name: str, folder: Path) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model, tokenizer = BUILDERS[name]()
    model.float().eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


JOINT = "{prompt} [SEP] {a} [SEP] {b}"
PAIRWISE: Mapping[str, tuple[str, dict[str, Any]]] = {  # name: the model, and its [rm.pairwise] table
    "answer, plain text": ("lm", {"layout": "answer", "template": TEMPLATE, "answers": ["A", "B"]}),
    "answer, chat": ("lm", {"layout": "answer", "template": TEMPLATE, "chat": True}),
    "answer, tied": ("tied_lm", {"layout": "answer", "template": TEMPLATE, "answers": ["A", "B"]}),
    "answer, T5": ("t5", {"layout": "answer", "template": TEMPLATE}),
    "two labels": ("two_label_encoder", {"layout": "labels", "template": JOINT}),
    "two labels, second is a": ("two_label_encoder", {"layout": "labels", "template": JOINT, "first_label": 1}),
    "one logit": ("one_logit_encoder", {"layout": "labels", "template": JOINT}),
    "two labels, decoder": ("two_label_decoder", {"layout": "labels", "template": TEMPLATE, "chat": True}),
    "PairRM": ("pairrm", {"layout": "pairrm"}),
}


@cache
def _loaded(auto: Any, folder: Path) -> Any:
    return auto.from_pretrained(folder).eval()


@cache
def _tokenizer(folder: Path) -> Any:
    return hf.AutoTokenizer.from_pretrained(folder)


def plain_log_odds(folder: Path, asked: Mapping[str, Any], prompt: str, a: str, b: str) -> float:
    """The log-odds that ``a`` is better, in this one order, by plain transformers."""
    tokenizer = _tokenizer(folder)
    if asked["layout"] == "pairrm":
        return _plain_pairrm(folder, tokenizer, prompt, a, b)
    text = asked["template"].replace("{prompt}", prompt).replace("{a}", a).replace("{b}", b)
    if asked.get("chat"):
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
    else:
        inputs = tokenizer(text, return_tensors="pt")
    if asked["layout"] == "labels":
        model = _loaded(hf.AutoModelForSequenceClassification, folder)
        logits = model(**inputs).logits[0]
        first = asked.get("first_label", 0)
        return float(logits[0] if len(logits) == 1 else logits[first] - logits[1 - first])
    answers = [tokenizer(answer, add_special_tokens=False).input_ids for answer in asked.get("answers", ("A", "B"))]
    assert [len(ids) for ids in answers] == [1, 1]
    if "T5" in str(hf.AutoConfig.from_pretrained(folder).architectures):
        seq2seq = _loaded(hf.AutoModelForSeq2SeqLM, folder)
        logits = seq2seq(**inputs, decoder_input_ids=torch.tensor([[0]])).logits[0, -1]
    else:
        logits = _loaded(hf.AutoModelForCausalLM, folder)(**inputs).logits[0, -1]
    log_p = torch.log_softmax(logits, -1)
    return float(log_p[answers[0][0]] - log_p[answers[1][0]])


def _plain_pairrm(folder: Path, tokenizer: Any, prompt: str, a: str, b: str) -> float:
    """From the weight files: a DeBERTa by its own loader, the head by hand."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    config = hf.AutoConfig.from_pretrained(folder)
    deberta = hf.DebertaV2Model(config).eval()
    own = {k.removeprefix("pretrained_model."): v for k, v in weights.items() if k.startswith("pretrained_model.")}
    deberta.load_state_dict(own)
    parts = [f"<|source|>{prompt}", f"<|candidate1|>{a}", f"<|candidate2|>{b}"]
    ids = [token for part in parts for token in tokenizer(part).input_ids]
    hidden = deberta(input_ids=torch.tensor([ids])).last_hidden_state[0]
    marks = (config.source_prefix_id, config.cand1_prefix_id, config.cand2_prefix_id)
    source, first, second = (hidden[ids.index(token)] for token in marks)

    def score(candidate: torch.Tensor) -> torch.Tensor:
        inner = torch.tanh(
            weights["head_layer.1.weight"] @ torch.cat([source, candidate]) + weights["head_layer.1.bias"]
        )
        return weights["head_layer.4.weight"] @ inner + weights["head_layer.4.bias"]

    return float(score(first) - score(second))


def opened(
    folder: Path, kind: str, asked: Mapping[str, Any], references: Mapping[Any, str] = REFERENCES, **options: Any
) -> Any:
    """The RM of ``kind`` in ``folder``, asked as the table ``asked`` says; in fp32 on the CPU unless told otherwise."""
    raw = {"source": str(folder), "kind": kind, "device": "cpu", "dtype": "float32", kind: dict(asked), **options}
    return open_reward_model(RewardModelSection.model_validate(raw), references)


def ways(rm: Any) -> dict[str, Callable[[Sequence[Pair]], Any]]:
    """Every way to ask for the rewards of some pairs."""
    return {
        "alone": lambda pairs: np.array([rm.reward(pair) for pair in pairs]),
        "batch": rm.rewards,
        "exact batch": rm.exact_rewards,
        "reversed batch": lambda pairs: rm.rewards(pairs[::-1])[::-1],
        "one by one": lambda pairs: np.array([float(rm.rewards([pair])[0]) for pair in pairs]),
    }


def plain_pairwise(folder: Path, asked: Mapping[str, Any], pair: Pair) -> float:
    prompt, reference = plain_prompt(pair.prompt), REFERENCES[pair.prompt]
    with torch.no_grad():
        first = plain_log_odds(folder, asked, prompt, pair.response, reference)
        second = plain_log_odds(folder, asked, prompt, reference, pair.response)
    return (first - second) / 2
