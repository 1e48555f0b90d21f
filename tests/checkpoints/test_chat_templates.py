"""What a chat template writes is the same on every day, in every zone and locale, and its own errors are told."""

from __future__ import annotations

import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import transformers as hf
from hypothesis import given
from hypothesis import strategies as st

from corpus.records import Message
from miner.checkpoints.chat_templates import in_english, render_chat
from miner.config.reward_model import PINNED_DATE, RewardModelSection
from miner.errors import ModelError
from miner.rewards.loading.classifiers import open_classifier
from tests.rewards.models import HEADERS, PAIRS, build

TURNS = (Message(role="user", content="Hello"), Message(role="assistant", content="Good day."))
DATED = "Today Date: {{ strftime_now('%d %b %Y, %A %H:%M %p %Z') }}\n" + HEADERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("llama", tmp_path_factory.mktemp("rm") / "llama")


@pytest.fixture
def tokenizer(folder: Path) -> Any:
    return hf.AutoTokenizer.from_pretrained(folder)


def opened(folder: Path, **settings: Any) -> Any:
    given = {"source": str(folder), "device": "cpu", "dtype": "float32", **settings}
    return open_classifier(RewardModelSection.model_validate(given))


def test_a_template_is_told_the_pinned_day(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer.chat_template = DATED
    texts = set()
    for zone in ("UTC", "Pacific/Auckland", "Pacific/Honolulu"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        texts.add(render_chat(tokenizer, TURNS))
    monkeypatch.delenv("TZ")
    time.tzset()
    assert len(texts) == 1
    assert texts.pop().startswith(f"Today Date: {PINNED_DATE:%d} Jul 2024, Friday 12:00 PM \n")
    assert render_chat(tokenizer, TURNS, today=date(2026, 1, 2)).startswith("Today Date: 02 Jan 2026, Friday")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_a_day_pinned_elsewhere_is_another_pipeline_and_another_reward(
    zone: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    one, same = opened(folder, template=DATED), opened(folder, template=DATED, today="2024-07-26")
    other = opened(folder, template=DATED, today=date(2025, 1, 1))
    assert one.pipeline_hash == same.pipeline_hash != other.pipeline_hash
    assert one.reward(PAIRS[0]) == same.reward(PAIRS[0]) != other.reward(PAIRS[0])
    undated = [opened(folder, today=day).pipeline_hash for day in ("2024-07-26", "2025-01-01")]
    assert undated[0] == undated[1], "a template that asks for no date does not change with it"


def test_a_tokenizer_read_otherwise_is_another_pipeline(folder: Path) -> None:
    """As where a library's update splits digits otherwise: same files, other ids."""
    from tokenizers import pre_tokenizers

    rm = opened(folder)
    before = rm.pipeline.hash
    backend = rm.pipeline.backend
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                     backend.pre_tokenizer])  # fmt: skip
    assert rm.pipeline.hash != before


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages.nothing.there }}", "has no attribute 'nothing'"),
        ("{{ 'a' + 1 }}", "can only concatenate str"),
        ("{% for a, b in messages[0]['content'] %}{% endfor %}", "not enough values to unpack"),
        ("{% for %}", "Expected"),
        ("{{ strftime_now('%') ~ (1 / 0) }}", "division by zero"),
    ],
)
def test_whatever_a_template_raises_is_one_line_in_its_own_words(template: str, said: str, tokenizer: Any) -> None:
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match="chat template refuses turns of user, assistant") as caught:
        render_chat(tokenizer, TURNS)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


FORMS = ["%A", "%a", "%B", "%b", "%d", "%Y", "%H:%M", "%p", "%j", "%%", "%X", "%x", "%c", "text"]


@given(moment=st.datetimes(datetime(1901, 1, 1), datetime(2100, 1, 1)), form=st.lists(st.sampled_from(FORMS)))
def test_names_are_those_of_the_c_locale(moment: datetime, form: list[str]) -> None:
    assert in_english(moment, " ".join(form)) == moment.strftime(" ".join(form))


def test_a_template_may_be_given_as_its_file(folder: Path) -> None:
    by_file = opened(folder, template=str(folder / "chat_template.jinja"))
    assert by_file.pipeline_hash == opened(folder).pipeline_hash


@pytest.mark.parametrize("given", ["chatml", "/no/such/file.jinja", "two\nlines"])
def test_what_is_neither_a_template_nor_a_file_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is no template"):
        RewardModelSection.model_validate({"source": "x", "template": given})


def test_every_probe_is_part_of_the_hash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from miner.rewards.text import pipeline as module

    rm, hashes = opened(folder), set()
    for n in range(len(module.PROBES) + 1):
        monkeypatch.setattr(module, "PROBES", module.PROBES[:n])
        hashes.add(rm.pipeline.hash)
        monkeypatch.undo()
    assert len(hashes) == len(module.PROBES) + 1
