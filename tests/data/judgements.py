"""Rows with one answer and a judgement beside it."""

from __future__ import annotations

from typing import Any

JUDGEMENTS: list[tuple[str, Any, Any]] = [
    ("label", 1, -1), ("label", 1, 0), ("label", True, False), ("label", "True", "False"), ("label", "1.0", "-1.0"),
    ("label", "good", "bad"), ("label", "Desirable", "Undesirable"), ("label", "chosen", "rejected"),
    ("kto_tag", "true", "false"), ("is_chosen", 1, 0), ("isChosen", True, False), ("human_label", "yes", "no"),
    ("user_feedback", "thumbs_up", "thumbs_down"), ("Label", "correct", "incorrect"), ("quality", "good", "bad"),
    ("score", 4.5, 1), ("score", "9", "2"), ("rating", 5, 3), ("reward", 0.7, -2.1), ("overall_rating", 2, -1),
    ("ai_rating", 10, 9),
]  # fmt: skip
