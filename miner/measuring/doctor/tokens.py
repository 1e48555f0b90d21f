"""From text to token ids: padding, BOS, chat template, truncation, vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np

from corpus.records import Message
from miner.checkpoints.chat_templates import render_chat
from miner.checkpoints.tokenizers import position_limit
from miner.errors import ModelError
from miner.measuring.doctor.diagnosis import Diagnosis, green, of_severity, severity_above
from miner.measuring.doctor.model_under_test import LocalModelUnderTest
from miner.rewards.base import Pair
from miner.rewards.text.pipeline import ChatPipeline

NO_LIMIT = 10**9  # transformers writes 1e30 where a tokenizer has no maximum length
MARKER = "zebra quartz violin"
MOMENTS = (  # two days; one of them as Honolulu and Auckland name it
    datetime(2024, 2, 28, 12), datetime(2026, 11, 7, 23, 30), datetime(2026, 11, 8, 22, 30),
)  # fmt: skip


def padding(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """Is there a padding token, do tokenizer and model mean the same one, and is it one that text holds?"""
    name = "padding token"
    tokenizer, config = model.tokenizer, model.forward.model.config.get_text_config()
    theirs, ours = config.pad_token_id, tokenizer.pad_token_id
    shown = f"{tokenizer.pad_token!r} ({ours})"
    if not model.is_causal or model.forward.readout.read_at is not None:  # no padding id decides where it is read
        missing = of_severity("amber", name, "none", "set tokenizer.pad_token, or plain batches fail")
        yield green(name, shown) if ours is not None else missing
    elif ours is None or theirs is None:
        who = "the tokenizer" if ours is None else "the model's config"
        yield of_severity(
            "amber", name, f"none in {who}: plain transformers cannot batch this model, rmminer can",
            "set an unused token as tokenizer.pad_token and model.config.pad_token_id, and save both",
        )  # fmt: skip
    elif theirs != ours:
        yield of_severity(
            "red" if tokenizer.padding_side == "right" else "amber", name,
            f"the tokenizer pads with {ours}, the model skips {theirs}: padded right, it reads at padding",
            f"set model.config.pad_token_id = {ours} and save the model again",
        )  # fmt: skip
    elif any(ours in row for row in model.rows):
        yield of_severity(
            "amber", name, f"{shown} is written into texts, too: the reward may be read at another token than it seems",
            "use a padding token that no text holds, if the model was trained so",
        )  # fmt: skip
    else:
        yield green(name, shown)


def begin_of_sequence(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """Does the usual ``tokenizer(template(text))`` double the BOS, or does the template leave it out?"""
    name, tokenizer = "BOS", model.tokenizer
    if not (isinstance(model.forward.pipeline, ChatPipeline) and tokenizer.chat_template):
        return
    text = model.forward.pipeline.render(model.references[0])
    bare: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    added: list[int] = tokenizer(text)["input_ids"]
    bos = tokenizer.bos_token_id
    if bos is None:
        yield green(name, "the tokenizer has none")
    elif bare[:1] == [bos] and added[:2] == [bos, bos]:
        yield of_severity(
            "amber", name, "the template writes it and the tokenizer adds it again; rmminer leaves the second out",
            "in your own code: tokenizer(text, add_special_tokens=False)",
        )  # fmt: skip
    elif bare[:1] != [bos] and added[:1] == [bos]:
        yield of_severity(
            "amber", name, "the tokenizer adds it to plain text, the chat template does not write it",
            "check how the model was trained; if with BOS, put {{ bos_token }} at the template's start",
        )  # fmt: skip
    else:
        yield green(name, "once" if bare[:1] == [bos] else "not used")


def chat_template(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """Is there one, does it show the response, and what does it do with a system prompt?"""
    pipeline = model.forward.pipeline
    if not isinstance(pipeline, ChatPipeline):
        return
    if not model.tokenizer.chat_template:
        yield of_severity(
            "amber", "chat template", "none: turns are joined as Human: … Assistant: …",
            "set tokenizer.chat_template to what the model was trained with",
        )  # fmt: skip
        return
    user = Message(role="user", content="A question?")
    shown = MARKER in pipeline.render(Pair((user,), MARKER))
    yield of_severity(
        "green" if shown else "red", "chat template",
        "shows the response" if shown else "the response is not in the rendered text: every answer looks the same",
        "correct the template: it has to write the assistant's content unchanged",
    )  # fmt: skip
    system = Message(role="system", content=MARKER)
    try:
        rendered = pipeline.render(Pair((system, user), "An answer."))
    except ModelError:
        yield of_severity("amber", "system prompt", "the template refuses one", "mine on prompts without a system turn")
        return
    dropped = MARKER not in rendered
    yield of_severity(
        "amber" if dropped else "green", "system prompt", "dropped without a word" if dropped else "shown",
        "mine on prompts without a system turn, or change the template so that it writes one",
    )  # fmt: skip


def date_in_template(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """Whether the template asks what day it is: rendered at two dates, and at one moment as two time zones name it."""
    name, pipeline = "date", model.forward.pipeline
    if not (isinstance(pipeline, ChatPipeline) and model.tokenizer.chat_template):
        return
    by_moment = [[_rendered(model, pair, moment) for pair in model.compared] for moment in MOMENTS]
    if all(texts == by_moment[0] for texts in by_moment):
        yield green(name, "the template writes none")
        return
    rewards = [np.array([_plain(model, text) for text in texts]) for texts in by_moment]
    shift = max(model.in_spreads(one, rewards[0]) for one in rewards)
    yield of_severity(
        "amber", name,
        f"the template writes today's: plain transformers' rewards change by up to {shift:.2g} sd from day to day; "
        f"rmminer writes {pipeline.today}",
        "the date that it was trained with: --set rm.today=YYYY-MM-DD; elsewhere give the template strftime_now", shift,
    )  # fmt: skip


def _rendered(model: LocalModelUnderTest, pair: Pair, moment: datetime) -> str:
    turns = [*pair.prompt, Message(role="assistant", content=pair.response)]
    return render_chat(model.tokenizer, turns, today=moment)


def _plain(model: LocalModelUnderTest, text: str) -> float:
    ids: list[int] = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return float(model.own_rewards({"input_ids": [ids]}, side="right")[0])


def truncation(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """What is cut, and when: no limit, one past the model's positions, a cut kept inside the tokenizer's file."""
    name, tokenizer, module = "truncation", model.tokenizer, model.forward.model
    stored = _stored_truncation(model)
    if stored is not None:
        yield of_severity(
            "amber", name, f"tokenizer.json holds a cut at {stored} tokens: programs without transformers apply it",
            "tokenizer.backend_tokenizer.no_truncation(), then save the tokenizer again",
        )  # fmt: skip
    room, limit = position_limit(module), model.forward.pipeline.max_length
    if room and tokenizer.model_max_length > NO_LIMIT:
        yield of_severity(
            "amber", name, f"the tokenizer knows no maximum; the model was made for {room} tokens",
            f"set tokenizer.model_max_length = {room} and save it",
        )  # fmt: skip
    elif room and tokenizer.model_max_length > room:
        yield of_severity(
            "red" if _has_position_table(module) else "amber", name,
            f"the tokenizer lets {tokenizer.model_max_length} tokens pass, the model was made for {room}",
            f"set tokenizer.model_max_length = {room} and save it",
        )  # fmt: skip
    else:
        cut = model.forward.pipeline.truncation
        what = "refused, not cut" if cut == "error" else f"cut on the {cut}, as asked for"
        yield green(name, f"inputs over {limit or 'any number of'} tokens are {what}", limit)


def _has_position_table(model: Any) -> bool:
    """Learned absolute positions: past their end there is nothing to look up."""
    tables = ("position_embeddings", "wpe", "embed_positions")
    return any(name.endswith(tables) and hasattr(module, "weight") for name, module in model.named_modules())


def vocabulary(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """Every token has an embedding."""
    embedding: Any = model.forward.model.get_input_embeddings()
    rows, tokens = len(embedding.weight), max(model.tokenizer.get_vocab().values()) + 1
    lacking = {i for i in model.tokenizer.get_vocab().values() if i >= rows}
    if lacking and lacking == {model.tokenizer.pad_token_id}:
        yield of_severity(
            "amber", "vocabulary",
            f"the padding token {tokens - 1} has no embedding (0 to {rows - 1}): plain transformers cannot batch, "
            "rmminer pads with another",
            "set tokenizer.pad_token to a token that has one, or resize_token_embeddings(len(tokenizer)) and save both",
        )  # fmt: skip
        return
    yield of_severity(
        "red" if lacking else "green", "vocabulary", f"{tokens} tokens, {rows} embeddings",
        "another model's tokenizer, or tokens were added: model.resize_token_embeddings(len(tokenizer)), then train",
    )  # fmt: skip


def unknown_tokens(model: LocalModelUnderTest) -> Iterator[Diagnosis]:
    """Clean text is not written in unknown tokens."""
    backend = model.tokenizer.backend_tokenizer
    unknown = backend.token_to_id(getattr(backend.model, "unk_token", None) or "")  # wrappers forget to name it
    if unknown is None:
        return
    texts = [pair.response for pair in model.references]
    ids = [i for row in model.tokenizer(texts, add_special_tokens=False)["input_ids"] for i in row]
    share = ids.count(unknown) / max(1, len(ids))
    yield of_severity(
        severity_above(share, amber=0.02, red=0.2), "unknown tokens", f"{share:.1%} of clean text",
        "is this the tokenizer that the model was trained with?", share,
    )  # fmt: skip


def _stored_truncation(model: LocalModelUnderTest) -> int | None:
    """The cut that tokenizer.json holds: read from the file, for loading has switched it off."""
    path = model.folder / "tokenizer.json"
    if not path.exists():
        return None
    found = re.search(r'"truncation"\s*:\s*\{[^}]*"max_length"\s*:\s*(\d+)', path.read_text(encoding="utf-8")[:4000])
    return int(found.group(1)) if found else None
