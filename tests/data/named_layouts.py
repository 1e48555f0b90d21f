"""Rows in the layouts of published data sets, and what is to be read of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus.records import Prompt

Q, GOOD, BAD = "Why is the sky blue?", "Because air scatters blue light most.", "No idea."


USER, ANSWER, WRONG = ({"role": "user", "content": Q}, {"role": "assistant", "content": GOOD},
                       {"role": "assistant", "content": BAD})  # fmt: skip


HUMAN, GPT, GPT_WRONG = {"from": "human", "value": Q}, {"from": "gpt", "value": GOOD}, {"from": "gpt", "value": BAD}


HH = f"\n\nHuman: {Q}\n\nAssistant: "


PAIR = {"chosen": GOOD, "rejected": BAD}


TREE = {
    "message_tree_id": "t",
    "prompt": {
        "text": Q,
        "role": "prompter",
        "replies": [{"text": BAD, "role": "assistant", "rank": 1}, {"text": GOOD, "role": "assistant", "rank": 0}],
    },
}


MESSAGE_ROWS: list[dict[str, Any]] = [
    {"message_id": "b", "parent_id": "a", "text": BAD, "role": "assistant", "rank": 1.0, "message_tree_id": "a"},
    {"message_id": "c", "parent_id": "a", "text": GOOD, "role": "assistant", "rank": 0.0, "message_tree_id": "a"},
    {"message_id": "a", "parent_id": None, "text": Q, "role": "prompter", "rank": None, "message_tree_id": "a"},
]


LAYOUTS: list[tuple[str, list[dict[str, Any]]]] = [
    ("TRL pairs", [{"prompt": Q, **PAIR}]),
    ("TRL pairs", [{"prompt": [USER], "chosen": [ANSWER], "rejected": [WRONG]}]),
    ("TRL pairs, prompt within", [{"chosen": [USER, ANSWER], "rejected": [USER, WRONG]}]),
    ("Anthropic HH", [{"chosen": HH + GOOD, "rejected": HH + BAD}]),
    ("Anthropic HH", [{"chosen": (HH + GOOD).replace("\n", "\r\n"), "rejected": (HH + BAD).replace("\n", "\r\n")}]),
    ("Anthropic HH", [{"chosen": (HH + GOOD).strip(), "rejected": (HH + BAD).strip()}]),
    ("UltraFeedback", [{"instruction": Q, "completions": [
        {"response": BAD, "overall_score": 3.0}, {"response": GOOD, "overall_score": 8.5}]}]),
    ("UltraFeedback", [{"instruction": Q, "completions": [
        {"response": BAD, "fine-grained_score": 3.0}, {"response": GOOD, "fine-grained_score": 8.5}]}]),
    ("Nectar", [{"prompt": HH, "answers": [{"answer": BAD, "rank": 2.0}, {"answer": GOOD, "rank": 1.0}]}]),
    ("HelpSteer 2 preferences", [
        {"prompt": Q, "response_1": GOOD, "response_2": BAD, "preference_strength": -3, "preference_statement": None}]),
    ("HelpSteer ratings", [
        {"prompt": Q, "response": BAD, "helpfulness": 1}, {"prompt": Q, "response": GOOD, "helpfulness": 4}]),
    ("HelpSteer 3", [{"context": [USER], "response1": BAD, "response2": GOOD, "overall_preference": 1}]),
    ("RewardBench 2", [{"prompt": Q, "chosen": [GOOD], "rejected": [BAD]}]),
    ("WebGPT", [{"question": {"full_text": Q, "id": "1"}, "answer_0": BAD, "answer_1": GOOD,
                 "score_0": -0.5, "score_1": 0.5}]),
    ("SHP", [{"history": Q, "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0}]),
    ("PKU-SafeRLHF", [{"prompt": Q, "response_0": GOOD, "response_1": BAD, "better_response_id": 0}]),
    ("arena", [{"conversation_a": [USER, WRONG], "conversation_b": [USER, ANSWER], "winner": "model_b"}]),
    ("arena, one column per winner", [
        {"prompt": json.dumps([Q]), "response_a": json.dumps([GOOD]), "response_b": json.dumps([BAD]),
         "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}]),
    ("OpenAI preference pairs", [
        {"input": {"messages": [USER]}, "preferred_output": [ANSWER], "non_preferred_output": [WRONG]}]),
    ("ms-swift pairs", [{"messages": [USER, ANSWER], "rejected_response": BAD}]),
    ("ms-swift pairs", [{"messages": [USER, ANSWER], "rejected_messages": [USER, WRONG]}]),
    ("axolotl pairs", [{"messages": [USER], "chosen": ANSWER, "rejected": WRONG}]),
    ("LLaMA-Factory pairs, ShareGPT turns", [{"conversations": [HUMAN], "chosen": GPT, "rejected": GPT_WRONG}]),
    ("LLaMA-Factory pairs", [{"instruction": Q, "input": "", **PAIR}]),
    ("Orca pairs", [{"system": "", "question": Q, **PAIR}]),
    ("Argilla pairs", [{"instruction": Q, "chosen_response": GOOD, "rejected_response": BAD}]),
    ("UltraInteract", [{"trajectory": [{"from": "user", "value": Q}], **PAIR}]),
    ("KTO", [{"prompt": Q, "completion": GOOD, "label": True}, {"prompt": Q, "completion": BAD, "label": False}]),
    ("KTO", [{"messages": [USER, ANSWER], "label": True}, {"messages": [USER, WRONG], "label": False}]),
    ("LLMBar", [{"input": Q, "output_1": BAD, "output_2": GOOD, "label": 2}]),
    ("Unified-Feedback", [
        {"conv_A": [USER, WRONG], "conv_B": [USER, ANSWER], "conv_A_rating": 1.0, "conv_B_rating": 7.0}]),
    ("summarize_from_feedback", [
        {"info": {"post": Q}, "summaries": [{"text": BAD}, {"text": GOOD}], "choice": 1}]),
    ("Stack Exchange", [
        {"question": Q, "answers": [{"text": BAD, "pm_score": 0}, {"text": GOOD, "pm_score": 5}]}]),
    ("rated generations", [{"instruction": Q, "generations": [BAD, GOOD], "ratings": [1.0, 5.0]}]),
    ("oasst trees", [TREE]),
    ("oasst messages", MESSAGE_ROWS),
]  # fmt: skip


DEMONSTRATIONS: list[tuple[str, dict[str, Any]]] = [
    ("ShareGPT demonstrations", {"conversations": [HUMAN, GPT]}),
    ("chat demonstrations", {"messages": [USER, ANSWER]}),
    ("Alpaca demonstrations", {"instruction": Q, "input": "", "output": GOOD}),
    ("prompts with a good answer", {"prompt": Q, "completion": GOOD}),
]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def facts(prompts: Sequence[Prompt]) -> list[tuple[list[tuple[str, str]], str | None, tuple[str, ...]]]:
    return [([(turn.role, turn.content) for turn in p.conversation], p.reference, p.rejected) for p in prompts]
