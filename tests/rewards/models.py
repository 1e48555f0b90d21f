"""Tiny random-weight reward models of every architecture we promise, saved the way ``save_pretrained`` does.

Weights are large enough that attention, positions and special tokens all matter, and the head is scaled until the
rewards of ``PAIRS`` spread over 4: a tiny random model otherwise hides every fault below 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from corpus.records import Message
from miner.rewards.base import Pair
from tests.rewards.conformance import inputs_of
from tests.rewards.tokenizers import byte_level, fast, framed, metaspace, unigram, wordpiece

WINDOW = 8  # tokens that a sliding layer looks at; most texts of PAIRS are several times longer
SPREAD = 4.0
Built = tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]


def conversation(*turns: str) -> tuple[Message, ...]:
    """Turns that alternate between user and assistant, the user first."""
    return tuple(Message(role=("user", "assistant")[n % 2], content=turn) for n, turn in enumerate(turns))


_PROMPT = conversation("What does this function do, and which file does it return?")
_BASE = "The answer is short and good; it copies a tree of files to another place, following links."
_OTHER = conversation("Count to 12.", "1, 2, 3 and so on.", "No, all of the numbers, please!")
PAIRS = [
    *[Pair(_PROMPT, _BASE.replace(word, "servant", 1)) for word in ("nothing", "answer", "good", "tree", "links")],
    Pair(_PROMPT, "It opens."),
    Pair(_PROMPT, "It opens a file. " * 6 + "Ärger über 日本語 🙂!"),
    Pair(_OTHER, "12"),
    Pair(_OTHER, "12, 345 and 6789 count, kindly tutor"),
    Pair(_OTHER, ""),
    Pair(conversation("A"), "12"),  # short enough that a windowed model sees the start and the padding before it
    Pair(conversation("Thank"), "the video blogs and the end of the user's assistant words"),
]

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
    "num_labels": 1,
}
_DECODER = {**_SIZES, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 256}
_ENCODER = {**_SIZES, "intermediate_size": 48, "max_position_embeddings": 258}
HEADERS = "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>"
    "{% if not loop.last %}\n{% endif %}{% endfor %}"
)
TURNS = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
)
INSTRUCT = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)


def _bos(tokenizer: Any, bos: str = "<s>") -> Any:
    return framed(tokenizer, f"{bos} $A", f"{bos} $A {bos} $B:1")


def llama() -> Built:
    """No padding token anywhere; the template writes the BOS that the tokenizer would add once more."""
    tokenizer = fast(_bos(byte_level(["<s>", "</s>"])), template=HEADERS, bos_token="<s>", eos_token="</s>")
    config = hf.LlamaConfig(**_DECODER, vocab_size=len(tokenizer), pad_token_id=None)
    return hf.LlamaForSequenceClassification(config), tokenizer


def qwen2() -> Built:
    """No BOS, padding of its own, the second layer with a sliding window."""
    tokens = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer = fast(tokens, template=CHATML, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = hf.Qwen2Config(
        **_DECODER, vocab_size=len(tokenizer), pad_token_id=0, use_sliding_window=True,
        sliding_window=WINDOW, max_window_layers=1,
    )  # fmt: skip
    return hf.Qwen2ForSequenceClassification(config), tokenizer


def qwen3() -> Built:
    """Padding is EOS, and EOS ends every text: transformers reads the reward one token earlier."""
    tokens = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer = fast(tokens, template=CHATML, eos_token="<|im_end|>", pad_token="<|im_end|>")
    config = hf.Qwen3Config(**_DECODER, head_dim=8, vocab_size=len(tokenizer), eos_token_id=2, pad_token_id=2)
    return hf.Qwen3ForSequenceClassification(config), tokenizer


def gemma2() -> Built:
    """Scaled embeddings, layers with and without a window, a template that trims, ``padding_side`` left."""
    tokens = _bos(
        metaspace(["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"], prepend=False), "<bos>"
    )
    tokenizer = fast(
        tokens, template=TURNS, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>",
        padding_side="left",
    )  # fmt: skip
    config = hf.Gemma2Config(
        **_DECODER, head_dim=8, vocab_size=len(tokenizer), pad_token_id=0, sliding_window=WINDOW,
        query_pre_attn_scalar=8,
    )  # fmt: skip
    return hf.Gemma2ForSequenceClassification(config), tokenizer


def mistral() -> Built:
    """Three layers, each with a window; the tokenizer puts ▁ before the text, no padding token."""
    tokens = _bos(metaspace(["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], prepend=True))
    tokenizer = fast(tokens, template=INSTRUCT, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    sizes = {**_DECODER, "num_hidden_layers": 3}
    config = hf.MistralConfig(**sizes, vocab_size=len(tokenizer), pad_token_id=None, sliding_window=WINDOW)
    return hf.MistralForSequenceClassification(config), tokenizer


def gpt_neox() -> Built:
    """Rotary on a part of each head, attention and MLP in parallel; BOS, EOS and padding are one token."""
    tokens = _bos(byte_level(["<|endoftext|>"]), "<|endoftext|>")
    end = "<|endoftext|>"
    tokenizer = fast(tokens, template=HEADERS, bos_token=end, eos_token=end, pad_token=end)
    sizes = {k: v for k, v in _DECODER.items() if k != "num_key_value_heads"}
    config = hf.GPTNeoXConfig(**sizes | {"rotary_pct": 0.5}, vocab_size=len(tokenizer), pad_token_id=0)
    return hf.GPTNeoXForSequenceClassification(config), tokenizer


def gpt2() -> Built:
    """Learned absolute positions, where even a constant shift shows; no chat template."""
    tokenizer = fast(byte_level(["<|endoftext|>"]), eos_token="<|endoftext|>")
    config = hf.GPT2Config(  # type: ignore[call-arg]
        n_embd=32, n_layer=2, n_head=4, n_positions=256, initializer_range=0.3, vocab_size=len(tokenizer),
        num_labels=1, pad_token_id=None,
    )  # fmt: skip
    return hf.GPT2ForSequenceClassification(config), tokenizer


def bert() -> Built:
    """WordPiece, token types, absolute positions; ``padding_side`` left must change nothing."""
    tokens = framed(wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]"]), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    tokenizer = fast(tokens, types=True, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", padding_side="left")
    config = hf.BertConfig(**_ENCODER, vocab_size=tokens.get_vocab_size())
    return hf.BertForSequenceClassification(config), tokenizer


def roberta() -> Built:
    """Positions count from behind the padding id; one token type."""
    tokens = framed(byte_level(["<s>", "<pad>", "</s>"]), "<s> $A </s>", "<s> $A </s> </s> $B </s>")
    tokenizer = fast(tokens, pad_token="<pad>", cls_token="<s>", sep_token="</s>", bos_token="<s>", eos_token="</s>")
    config = hf.RobertaConfig(**_ENCODER, vocab_size=len(tokenizer), type_vocab_size=1)
    return hf.RobertaForSequenceClassification(config), tokenizer


def deberta_v2() -> Built:
    """Relative positions only, as OpenAssistant's: it takes no notice of position ids."""
    tokens = framed(unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]"]), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    tokenizer = fast(tokens, types=True, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")
    config = hf.DebertaV2Config(  # type: ignore[call-arg]
        **_ENCODER, vocab_size=len(tokenizer), relative_attention=True, position_biased_input=False,
        pos_att_type=["p2c", "c2p"], position_buckets=16, norm_rel_ebd="layer_norm", share_att_key=True,
        type_vocab_size=0, pooler_hidden_size=32,
    )  # fmt: skip
    return hf.DebertaV2ForSequenceClassification(config), tokenizer


def modernbert() -> Built:
    """Local and global layers, rotary positions."""
    tokens = framed(byte_level(["[PAD]", "[CLS]", "[SEP]"]), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]")
    tokenizer = fast(tokens, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    sizes = {**_ENCODER, "num_hidden_layers": 3}
    config = hf.ModernBertConfig(  # type: ignore[call-arg]
        **sizes, vocab_size=len(tokenizer), pad_token_id=0, cls_token_id=1, sep_token_id=2,
        bos_token_id=1, eos_token_id=2, local_attention=2 * WINDOW, global_attn_every_n_layers=2,
    )  # fmt: skip
    return hf.ModernBertForSequenceClassification(config), tokenizer


CAUSAL: dict[str, Callable[[], Built]] = {f.__name__: f for f in (llama, qwen2, qwen3, gemma2, mistral, gpt_neox, gpt2)}
ENCODERS: dict[str, Callable[[], Built]] = {f.__name__: f for f in (bert, roberta, deberta_v2, modernbert)}
ARCHITECTURES = CAUSAL | ENCODERS
WINDOWED = {  # and what to set to take the window away
    "qwen2": {"sliding_window": 256},
    "gemma2": {"sliding_window": 256},
    "mistral": {"sliding_window": 256},
    "modernbert": {"local_attention": 512},
}
BOS_WRITING = ("llama", "gemma2", "mistral", "gpt_neox")


def build(name: str, folder: Path) -> Path:
    """Save the model ``name`` with a scaled head and its tokenizer under ``folder``."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model, tokenizer = ARCHITECTURES[name]()
    model = model.float().eval()
    with torch.no_grad():
        rewards = torch.stack([model(**inputs_of(tokenizer, pair)).logits[0, 0] for pair in PAIRS])
        head_of(model).weight.mul_(SPREAD / (rewards.max() - rewards.min()))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def head_of(model: Any) -> torch.nn.Linear:
    """The last linear layer of the head: what the reward is proportional to, up to a constant."""
    head = model.score if hasattr(model, "score") else model.classifier
    return [module for module in head.modules() if isinstance(module, torch.nn.Linear)][-1]
