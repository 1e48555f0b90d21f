"""A model examined, and what the doctor said of it."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from corpus.records import Prompt
from miner.config.reward_model import RewardModelSection
from miner.measuring.doctor import Report, examine
from tests.rewards.models import conversation
from tests.rewards.tokenizers import SENTENCES

WORDS = " ".join(SENTENCES[:5]).split()


def texts(n: int = 24, longest: int = 24) -> tuple[Prompt, ...]:
    rng = Random(3)

    def some(least: int, most: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))

    return tuple(
        Prompt(
            conversation=conversation(f"Question {number}: {some(2, 6)}?"),
            reference=some(3, longest),
            rejected=(some(3, longest),),
            group_key=str(number),
            split="held_out",
        )
        for number in range(n)
    )


def examined(folder: Path, prompts: tuple[Prompt, ...] | None = None, **options: Any) -> Report:
    given = {"source": str(folder), "device": "cpu", "dtype": "float32", **options}
    section = RewardModelSection.model_validate(given)
    return examine(section, prompts or texts(), texts="tests", owned=prompts is not None, progress=unseen)


def unseen(done: int, total: int) -> None:
    del done, total


def red(report: Report) -> set[str]:
    return {d.examination for d in report.diagnoses if d.colour == "red"}


JUDGED_BY_TEXT = {"trivial answers", "length", "preference accuracy"}  # of random weights, chance decides these


def edit_json(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")
