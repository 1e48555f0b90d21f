"""What a campaign that cannot begin says is to be done is done here, once each: then it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from miner.campaigns.campaign import Campaign
from miner.cli.options import CampaignOptions, overrides_from_options
from miner.config.campaign import parse_config
from miner.errors import ConfigError
from miner.language_models.ngram import train_ngram_model
from miner.language_models.training import train_tokenizer

Opened = Callable[..., Campaign]


@pytest.fixture(scope="module")
def answers(preference_file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in preference_file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def lm(answers: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    out, texts = tmp_path_factory.mktemp("lm"), [row["chosen"] for row in answers]
    train_ngram_model(texts, train_tokenizer(texts, 600), order=4, out=out)
    return str(out)


@pytest.fixture
def opened(tiny_rm_folder: Path, tmp_path: Path) -> Opened:
    """A campaign on these rows, as the command line would open it with these settings."""

    def opened(rows: list[dict[str, Any]], *settings: str) -> Campaign:
        data = tmp_path / "data.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        given = CampaignOptions(
            rm=str(tiny_rm_folder), data=str(data), out=str(tmp_path / "run"), attacks=["corrupt"], budget=20,
            prompts=2, dtype="float32", settings=["checks.false_alarm=0.05", "data.fractions=[0.4,0.3,0.3]", *settings],
        )  # fmt: skip
        return Campaign(parse_config({}, overrides_from_options(given, "mine"), where="command line"))

    return opened


def hint(campaign: Campaign, says: str) -> str:
    """The setting that the refusal to mine names."""
    with pytest.raises(ConfigError, match=says) as refused:
        campaign.mine(0)
    assert campaign.corpus.attempts() == []
    return setting_in(refused.value)


def setting_in(refusal: ConfigError) -> str:
    found = re.search(r'--set ("[^"]+"|\S+)', str(refusal))
    assert found is not None, refusal
    return found[1].strip('".,;')


def test_a_check_that_preference_data_cannot_feed_is_left_out(answers: list[dict[str, Any]], opened: Opened) -> None:
    named = "checks.names=['relevance','repetition','construction']"
    said = "evidence on 0 of .* More text of this kind would not help"
    setting = hint(opened(answers, named), said)
    assert setting == "checks.names=['repetition','construction']"
    assert opened(answers, setting).mine(0).made == 2


def test_where_no_named_check_is_left_all_that_can_be_fed_are_taken(
    answers: list[dict[str, Any]], opened: Opened
) -> None:
    setting = hint(opened(answers, "checks.names=['relevance']"), "takes all that this campaign can feed")
    assert setting == "checks.names=[]"
    assert opened(answers, setting).mine(0).made == 2


def test_short_answers_leave_the_checks_of_words_out(answers: list[dict[str, Any]], opened: Opened, lm: str) -> None:
    rows = [{**row, "chosen": " ".join(row["chosen"].split()[:5])} for row in answers]
    judged = (f"reference_lm.source={lm}", "checks.min_power=0")
    named = "checks.names=['order','repetition','construction']"
    setting = hint(opened(rows, *judged, named), "only texts of at least 8 words.* would not help")
    assert opened(rows, *judged, setting).mine(0).made == 2


def test_where_some_answers_are_long_enough_more_of_such_text_does(
    answers: list[dict[str, Any]], opened: Opened, lm: str
) -> None:
    rows = [{**row, "chosen": " ".join(row["chosen"].split()[:5])} if at % 3 else row for at, row in enumerate(answers)]
    judged = (f"reference_lm.source={lm}", "checks.min_power=0", "checks.names=['order','repetition']")
    small = "data.fractions=[0.7,0.1,0.2]"
    with pytest.raises(ConfigError, match=r"'order' has evidence on \d+ of \d+ .* About (\d+) such texts") as refused:
        opened(rows, *judged, small).mine(0)
    assert setting_in(refused.value) == "data.fractions=…"
    enough = re.search(r"About (\d+)", str(refused.value))
    assert enough is not None
    share = int(enough[1]) / len(rows)
    assert 0.1 < share < 0.8
    assert opened(rows, *judged, f"data.fractions=[{0.9 - share},{share + 0.05},0.05]").mine(0).made == 2


def test_answers_too_long_for_the_rm_are_cut(answers: list[dict[str, Any]], opened: Opened) -> None:
    rows = [{**row, "chosen": " ".join([row["chosen"]] * 200)} for row in answers]
    judged = "checks.names=['construction']"
    said = r"0 clean references \(\d+ more are left out: \d+ too long for it\)"
    setting = hint(opened(rows, judged), said)
    assert setting == "rm.truncation=left|right"
    assert opened(rows, judged, setting.partition("|")[0]).mine(0).made == 2


def test_more_prompts_are_asked_for_where_too_few_were(answers: list[dict[str, Any]], opened: Opened) -> None:
    judged = "checks.names=['repetition','construction']"
    with pytest.raises(ConfigError, match="4 held-out prompts are too few") as refused:
        opened(answers, judged, "evaluate.prompts=4").evaluate(0)
    setting = setting_in(refused.value)
    assert setting == "evaluate.prompts=8"
    assert opened(answers, judged, setting, "evaluate.budget_queries=20").evaluate(0).made == 16


def test_a_column_tells_prompts_of_one_first_turn_apart(answers: list[dict[str, Any]], opened: Opened) -> None:
    def turns(text: str) -> list[dict[str, str]]:
        said = [("user", "Hello"), ("assistant", "Hello, what is it?"), ("user", text)]
        return [{"role": role, "content": content} for role, content in said]

    rows = [
        {**row, "prompt": turns(row["prompt"]), "chosen": [{"role": "assistant", "content": row["chosen"]}],
         "rejected": [{"role": "assistant", "content": row["rejected"]}], "id": f"{at}"}
        for at, row in enumerate(answers)
    ]  # fmt: skip
    judged = "checks.names=['repetition','construction']"
    setting = hint(opened(rows, judged), "in 1 groups")
    columns = "data.columns={prompt='prompt',chosen='chosen',rejected='rejected',group='id'}"
    assert setting == "data.columns.group=…"
    assert opened(rows, judged, columns).mine(0).made == 2
