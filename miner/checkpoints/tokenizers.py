"""Fast tokenizers, and how long an input of a model may be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from corpus.records import Message
from miner.checkpoints.chat_templates import render_chat
from miner.checkpoints.folders import first_line, require_tokenizer
from miner.checkpoints.loading import UNREADABLE, quiet_transformers
from miner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SENTENCEPIECE = b"\n"  # the first byte of its protocol buffer; tiktoken's files are text


def load_tokenizer(folder: Path, trust_remote_code: bool = False) -> PreTrainedTokenizerFast:
    """The folder's fast tokenizer.

    Raises:
        ModelError: there is none.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    require_tokenizer(folder)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except UNREADABLE as error:
        raise ModelError(f"no fast tokenizer in {folder}: {_reason(folder, error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast) and (folder / "tokenizer.json").exists():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)  # another may be installed that goes before it
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(
            f"the tokenizer of {folder} is no fast one and gives no character offsets. Convert it to tokenizer.json"
        )
    return tokenizer


def special_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Tokens that are no text, with their ids: those marked special, and added ones with which the chat template marks
    turns. Gemma adds line breaks, runs of spaces and ``<table>`` to its vocabulary, which are text."""
    marks = f"{tokenizer.chat_template or ''}\n{_rendered_turns(tokenizer)}"
    special = set(map(str, tokenizer.all_special_tokens))
    special |= {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    special |= {token for token in tokenizer.get_added_vocab() if token.strip() and token in marks}
    vocabulary = tokenizer.get_vocab()
    return {token: vocabulary[token] for token in sorted(special) if token in vocabulary}


def _rendered_turns(tokenizer: PreTrainedTokenizerFast) -> str:
    """One question and answer as the chat template writes them, which may put its marks together from parts."""
    if not tokenizer.chat_template:
        return ""
    try:
        return render_chat(tokenizer, [Message(role="user", content="a"), Message(role="assistant", content="b")])
    except ModelError:
        return ""


def _reason(folder: Path, error: BaseException) -> str:
    """What a tokenizer's loader says, and what to do; it asks for tiktoken whatever kind of file it cannot read."""
    if "trust_remote_code" in str(error):
        return f"{first_line(error)}. Try: --set rm.trust_remote_code=true"
    pieces = next((file for file in sorted(folder.glob("*.model")) if file.read_bytes()[:1] == SENTENCEPIECE), None)
    if pieces is not None and not (folder / "tokenizer.json").exists():
        return (
            f"{pieces.name} is sentencepiece's. Install what reads it (pip install sentencepiece protobuf), or convert "
            "it once: AutoTokenizer.from_pretrained(…).save_pretrained(…) writes a tokenizer.json"
        )
    return f"{first_line(error)}. Save one beside the model: tokenizer.json"


def position_limit(model: PreTrainedModel) -> int:
    """Tokens that the model's positions reach; 0 where its config names none."""
    positions = max(0, int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 0))  # XLNet's −1
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if getattr(table, "padding_idx", None) is not None:
        positions -= table.padding_idx + 1  # type: ignore[union-attr]  # RoBERTa counts from behind its padding
    return positions


def length_limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, asked: int | None) -> int | None:
    """Tokens an input may have: what was asked for, else the smaller of the model's and the tokenizer's limits."""
    positions = position_limit(model)
    if asked is not None:
        if asked < 1 or 0 < positions < asked:
            raise ModelError(
                f"maximum length {asked} is out of range: the model takes 1 to {positions or 'any'} tokens"
            )
        return asked
    sensible = [limit for limit in (positions, tokenizer.model_max_length) if 0 < limit < 10**9]
    return int(min(sensible)) if sensible else None
