"""A tiny random model of every architecture that transformers has a text classifier for, by a config made of parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from tests.rewards.conformance import inputs_of
from tests.rewards.models import HEADERS, PAIRS, SPREAD, Built, bert, roberta
from tests.rewards.tokenizers import byte_level, fast

SIZES = {
    "hidden_size": 32, "d_model": 32, "dim": 32, "n_embd": 32, "emb_dim": 32, "embedding_size": 32,
    "num_hidden_layers": 2, "num_layers": 2, "n_layer": 2, "n_layers": 2, "encoder_layers": 2, "decoder_layers": 2,
    "num_attention_heads": 4, "num_heads": 4, "n_head": 4, "n_heads": 4, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "d_kv": 8, "d_head": 8,
    "intermediate_size": 48, "d_ff": 48, "d_inner": 48, "dff": 48, "hidden_dim": 48, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "ffn_dim": 48, "n_inner": 48, "moe_intermediate_size": 24,
    "max_position_embeddings": 300, "n_positions": 300, "n_ctx": 300, "max_seq_len": 300,
    "initializer_range": 0.3, "init_std": 0.3, "embed_init_std": 0.3, "initializer_factor": 1.0,
    "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "n_routed_experts": 4, "moe_topk": 2,
    "type_vocab_size": 2,
}  # fmt: skip
_LATENT = {  # multi-head latent attention
    "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "num_key_value_heads": 4, "head_dim": None,
}  # fmt: skip
_GROUPED = {**_LATENT, "n_group": 1, "topk_group": 1}
_LINEAR = {  # gated delta rule
    "num_hidden_layers": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}  # fmt: skip
_MAMBA = {
    "num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid"] * 2, "num_key_value_heads": 4, "chunk_size": 16,
    "mamba_d_state": 8,
}  # fmt: skip
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_NESTED = {name: SIZES[name] for name in (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
    "max_position_embeddings",
)}  # fmt: skip
ALSO: dict[str, dict[str, Any]] = {
    "axk1": _GROUPED,
    "axk2": _LATENT,
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "deepseek_v2": _LATENT,
    "deepseek_v3": _GROUPED,
    "esmc": {"num_key_value_heads": 4},
    "falcon": {"head_dim": None, "multi_query": True},
    "funnel": {"num_hidden_layers": None, "num_layers": None, "n_layers": None, "n_layer": None, "block_sizes": [1, 1]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "gptj": {"rotary_dim": 4},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "longformer": {"attention_window": 16},
    "minicpm3": _LATENT,
    "mistral4": _GROUPED,
    "modernbert-decoder": {"cls_token_id": 1, "sep_token_id": 2, "local_attention": 8},
    "qwen3_5_text": _LINEAR,
    "qwen3_next": _LINEAR,
    "reformer": {"axial_pos_embds": False},
    "t5": {"decoder_start_token_id": 1, "is_encoder_decoder": True},
    "t5gemma": {"encoder": {**_NESTED, "vocab_size": 500}, "decoder": {**_NESTED, "vocab_size": 500}},
    "xlnet": {"max_position_embeddings": None},
    "xmod": {"default_language": "en_XX"},
    "zamba": _MAMBA,
    "zamba2": _MAMBA,
}
SEEING = (
    "gemma3",
    "qwen3_5",
    "t5gemma2",
    "modernvbert",
    "ultravbert",
    "layoutlm",
    "layoutlmv2",
    "layoutlmv3",
    "lilt",
    "markuplm",
    "tapas",
    "perceiver",
    "canine",
    "luke",
)  # read pages, tables, bytes or entities, not a tokenizer's text alone


def names() -> list[str]:
    return [name for name in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES if name not in SEEING]


def decodes(model_type: str) -> bool:
    known = model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return known and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def tiny(model_type: str, kinds: Mapping[str, Any] = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES) -> Built:
    kind = kinds[model_type]
    architecture: Any = getattr(hf, kind if isinstance(kind, str) else kind[0])
    if decodes(model_type) or "Generic" in str(architecture.__mro__):
        tokens = byte_level(["<pad>", "<s>", "</s>", "<|endoftext|>"])  # the last is written into every Qwen tokenizer
        tokenizer = fast(tokens, template=HEADERS, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    else:
        ours = architecture.config_class()
        one = ours.pad_token_id == 1 or ours.is_encoder_decoder
        tokenizer = (roberta if one else bert)()[1]
    special = {
        name: getattr(tokenizer, name)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
    }
    given = {**SIZES, "vocab_size": len(tokenizer), "num_labels": 1, **special, **ALSO.get(model_type, {})}
    given = {key: value for key, value in given.items() if value is not None}
    config = architecture.config_class(**given)
    return architecture(config), tokenizer


def save(model_type: str, folder: Path) -> Path:
    """The tiny model with its tokenizer, its head scaled until the rewards of ``PAIRS`` spread over ``SPREAD``."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model, tokenizer = tiny(model_type)
    model = model.float().eval()
    last = [one for one in model.modules() if isinstance(one, torch.nn.Linear) and one.out_features == 1][-1]
    with torch.no_grad():
        rewards = torch.stack([model(**inputs_of(tokenizer, pair)).logits[0, 0] for pair in PAIRS])
        last.weight.mul_(SPREAD / (rewards.max() - rewards.min()))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_lm(model_type: str, folder: Path) -> Path:
    """The tiny causal LM of the same config with its tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model, tokenizer = tiny(model_type, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    model.float().eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
