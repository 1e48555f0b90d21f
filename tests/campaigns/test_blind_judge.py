"""A reference LM that does not know a campaign's text is found out before anything is mined."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from miner.campaigns.campaign import Campaign
from miner.errors import ConfigError
from miner.language_models.ngram import train_ngram_model
from miner.language_models.training import train_tokenizer
from tests.campaigns.test_campaign import config_for

ATTACKS = [{"name": "random", "params": {"width": 8}}]


def trained(texts: list[str], out: Path) -> str:
    train_ngram_model(texts, train_tokenizer(texts, 600), order=4, out=out)
    return str(out)


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Counts strings of letters and digits, in which no order is likelier than another."""
    rng = Random(0)
    letters = "qxzjkvw0123456789"
    texts = [" ".join("".join(rng.choices(letters, k=5)) for _ in range(20)) for _ in range(300)]
    return trained(texts, tmp_path_factory.mktemp("blind"))


@pytest.fixture(scope="module")
def seeing(preference_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Counts the answers themselves."""
    rows = [json.loads(line) for line in preference_file.read_text().splitlines()]
    return trained([row["chosen"] for row in rows], tmp_path_factory.mktemp("seeing"))


def campaign(rm: Path, data: Path, out: Path, lm: str, **checks: object) -> Campaign:
    judged = {"names": ["order", "repetition"], "false_alarm": 0.05, **checks}
    mine = {"prompts": 2, "budget_queries": 20}
    return Campaign(config_for(rm, data, out, attacks=ATTACKS, reference_lm={"source": lm}, mine=mine, checks=judged))


def test_a_judge_that_convicts_no_salad_is_refused_before_a_query_is_spent(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, blind: str
) -> None:
    run = campaign(tiny_rm_folder, preference_file, tmp_path / "run", blind)
    with pytest.raises(ConfigError, match=r"convict \d+ of 100 word salads") as refused:
        run.mine(0)
    for hint in ("--reference-lm smollm2", "--set checks.min_power=0"):
        assert hint in str(refused.value)
    assert run.corpus.attempts() == []


def test_who_wants_to_goes_on_in_the_same_folder(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, blind: str
) -> None:
    with pytest.raises(ConfigError, match="word salads"):
        campaign(tiny_rm_folder, preference_file, tmp_path / "run", blind).mine(0)
    assert campaign(tiny_rm_folder, preference_file, tmp_path / "run", blind, min_power=0).mine(0).made == 2


def test_prompts_whose_good_answers_the_judge_cannot_read_are_refused(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, seeing: str
) -> None:
    """Calibrated on sense, to be mined where the answers are words in no order that the LM knows."""
    rows = [json.loads(line) for line in preference_file.read_text().splitlines()]
    whole = campaign(tiny_rm_folder, preference_file, tmp_path / "whole", seeing)
    train = {prompt.conversation[-1].content for prompt in whole.world.by_split["train"]}
    rng = Random(1)
    for row in rows:
        if row["prompt"] in train:
            row["chosen"] = " ".join(rng.sample(words := row["chosen"].split() * 3, len(words)))
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = campaign(tiny_rm_folder, foreign, tmp_path / "run", seeing)
    with pytest.raises(ConfigError, match=r"convict \d+ of \d+ good answers to train prompts"):
        run.mine(0)
    assert run.corpus.attempts() == []
    assert campaign(tiny_rm_folder, foreign, tmp_path / "run", seeing, max_alarms=1).mine(0).made == 2


def test_a_judge_that_sees_is_measured_once_a_run(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, seeing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = campaign(tiny_rm_folder, preference_file, tmp_path / "run", seeing)
    assert first.mine(0).made == 2
    (stored,) = (tmp_path / "run" / "calibration").glob("power-*/value.json")
    found = json.loads(stored.read_text())
    assert found["n"] == 100
    assert found["convicted"] >= 80
    asked: list[int] = []
    again = campaign(tiny_rm_folder, preference_file, tmp_path / "run", seeing)
    judge = type(first.models.judge)
    certify = judge.certify
    monkeypatch.setattr(judge, "certify", lambda self, subjects: asked.append(len(subjects)) or certify(self, subjects))
    assert again.mine(0).skipped == 2
    assert asked == []
