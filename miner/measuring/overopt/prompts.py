"""The prompts a run was measured on, beside its rows: those name them by id, and people have to read them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from corpus.records import Conversation, Message, Prompt
from miner.errors import DataError
from miner.files import replace_text

ASKED = "prompts.jsonl"


def keep_asked(folder: Path, prompts: Sequence[Prompt]) -> None:
    """Store them where the run has none yet: they are the same for its whole life."""
    if (folder / ASKED).exists():
        return
    lines = [
        json.dumps({"prompt_id": one.prompt_id, "prompt": [dataclasses.asdict(turn) for turn in one.conversation]})
        for one in prompts
    ]
    replace_text(folder / ASKED, "".join(f"{line}\n" for line in lines))


def asked_in(study: Path) -> dict[str, Conversation]:
    """Those of all runs of a study.

    Raises:
        DataError: as ``read_asked``.
    """
    found: dict[str, Conversation] = {}
    for path in sorted(study.glob(f"*/{ASKED}")):
        found |= read_asked(path.parent)
    return found


def read_asked(folder: Path) -> dict[str, Conversation]:
    """By prompt id; none where the run has stored none.

    Raises:
        DataError: they cannot be read.
    """
    path = folder / ASKED
    if not path.exists():
        return {}
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {row["prompt_id"]: tuple(Message(**turn) for turn in row["prompt"]) for row in rows}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"cannot read {path}: {error!r}. Delete it and run the same rmminer overopt again") from error
