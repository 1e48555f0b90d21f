"""Texts that an RM cannot score cost themselves alone, and the user is told why, in the template's words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corpus.records import Message, Prompt
from miner.config.reward_model import RewardModelSection
from miner.errors import ConfigError
from miner.judging.criteria import MIN_CLEAN, clean_criteria
from miner.rewards import load_reward_model
from miner.rewards.opening import open_reward_model
from tests.rewards.asking_models import JUDGE_TEMPLATE
from tests.rewards.models import HEADERS, conversation

FolderOf = Callable[[str], Path]

ALTERNATING = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant. See the card.') }}{% endif %}{% endfor %}"
) + HEADERS


def prompts(n: int, *roles: str, reference: str = "It opens a file {}.") -> list[Prompt]:
    turns = [tuple(Message(role=role, content=f"{role} {i}") for role in roles) for i in range(n)]
    return [Prompt(conversation=turn, reference=reference.format(i), group_key=str(i)) for i, turn in enumerate(turns)]


@pytest.fixture
def strict(folder_of: FolderOf, tmp_path: Path) -> Any:
    folder = tmp_path / "strict"
    shutil.copytree(folder_of("llama"), folder)
    (folder / "chat_template.jinja").write_text(ALTERNATING, encoding="utf-8")
    return load_reward_model(folder, device="cpu", dtype="float32")


def test_too_few_readable_texts_are_told_with_the_templates_own_words_and_how_many_they_concern(strict: Any) -> None:
    taken, refused = prompts(MIN_CLEAN - 2, "user"), [*prompts(7, "system", "user"), *prompts(2, "user", "user")]
    long = prompts(3, "user", reference="word " * 400)
    with pytest.raises(ConfigError) as caught:
        clean_criteria(strict, [*taken, *refused, *long], quantile=0.95)
    said = str(caught.value)
    assert (
        f"{MIN_CLEAN - 2} clean references (12 more are left out: "
        "9 refused by its template: Conversation roles must alternate user/assistant. See the card.; 3 too long for it)"
    ) in said
    assert said.endswith("Mine on prompts it takes. Give shorter texts, or cut them: --set rm.truncation=left|right")
    assert "\n" not in said


def test_more_data_is_asked_for_where_no_other_reason_would_do(strict: Any) -> None:
    with pytest.raises(ConfigError, match=r"Give more data, or a larger calibration share"):
        clean_criteria(strict, [*prompts(3, "user"), *prompts(1, "system", "user")], quantile=0.95)


def test_a_judge_names_its_own_setting_for_texts_that_are_too_long(asking_folder_of: FolderOf) -> None:
    table = {"template": JUDGE_TEMPLATE, "low": 1, "high": 5}
    section = RewardModelSection.model_validate(
        {"source": str(asking_folder_of("lm")), "kind": "judge", "judge": table, "device": "cpu", "dtype": "float32"}
    )
    long = [Prompt(conversation=conversation(f"Q{n}"), reference="word " * 900) for n in range(MIN_CLEAN)]
    with pytest.raises(ConfigError, match=r"20 too long for it.*--set rm\.max_length=N") as caught:
        clean_criteria(open_reward_model(section, {}), long, quantile=0.95)
    assert "rm.truncation" not in str(caught.value)
