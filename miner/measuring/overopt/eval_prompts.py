"""The prompts a run was measured on, beside its rows: those name them by id, and people have to read them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus.records import Conversation, Prompt
from miner.files import read_rows, replace_text

PROMPTS_FILE = "prompts.jsonl"
FOLDER = re.compile(r"overopt(?:-round(\d+))?")  # one per RM: as given, and after so many patches


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrompt:
    prompt_id: str
    prompt: Conversation


def store_prompts(folder: Path, prompts: Sequence[Prompt]) -> None:
    """Store them where the run has none yet: they are the same for its whole life."""
    if (folder / PROMPTS_FILE).exists():
        return
    lines = [json.dumps(asdict(StoredPrompt(prompt_id=p.prompt_id, prompt=p.conversation))) for p in prompts]
    replace_text(folder / PROMPTS_FILE, "".join(f"{line}\n" for line in lines))


def study_folders(run: Path) -> list[tuple[int, Path]]:
    """The folders of studies in a campaign's, each with the round of its RM, in their order."""
    named = ((FOLDER.fullmatch(path.name), path) for path in run.glob("overopt*"))
    return sorted((int(match[1] or 0), path) for match, path in named if match)


def read_prompts(study: Path) -> dict[str, Conversation]:
    """Those of all runs of a study.

    Raises:
        DataError: as ``read_run_prompts``.
    """
    found: dict[str, Conversation] = {}
    for path in sorted(study.glob(f"*/{PROMPTS_FILE}")):
        found |= read_run_prompts(path.parent)
    return found


def read_run_prompts(folder: Path) -> dict[str, Conversation]:
    """By prompt id; none where the run has stored none.

    Raises:
        DataError: they cannot be read.
    """
    path = folder / PROMPTS_FILE
    if not path.exists():
        return {}
    return {row.prompt_id: row.prompt for row in read_rows(path, StoredPrompt, "prompt_id and prompt of a run")}
