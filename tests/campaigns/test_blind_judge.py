"""A reference LM that does not know a campaign's text is found out before anything is mined."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from miner.campaigns.campaign import Campaign
from miner.campaigns.certifier import measured_certifier
from miner.campaigns.estimate import Estimate, estimate
from miner.campaigns.rehearsal import Stages
from miner.cli.tables import dry_run_table
from miner.errors import ConfigError
from miner.language_models.ngram import train_ngram_model
from miner.language_models.training import train_tokenizer
from miner.progress import untold
from tests.campaigns.configs import config_for
from tests.judging.checks.languages import LANGUAGES, written

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


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_judge_that_does_not_know_a_language_without_spaces_is_refused_before_a_query_is_spent(
    language: str, tiny_rm_folder: Path, tmp_path: Path, blind: str
) -> None:
    parts, question = LANGUAGES[language]
    answers = written(parts, 300)
    rows = [
        {"prompt": f"{question} {number}", "chosen": good, "rejected": bad}
        for number, (good, bad) in enumerate(zip(answers, [*answers[1:], answers[0]], strict=True))
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = campaign(tiny_rm_folder, data, tmp_path / "blind", blind)
    with pytest.raises(ConfigError, match=r"convict \d+ of 100 word salads made of this campaign's own clean answers"):
        run.mine(0)
    assert run.corpus.attempts() == []
    knows = trained(answers, tmp_path / "lm")
    assert campaign(tiny_rm_folder, data, tmp_path / "seeing", knows).mine(0).made == 2


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
    certifier = type(first.models.certifier)
    certify = certifier.certify
    monkeypatch.setattr(
        certifier, "certify", lambda self, subjects: asked.append(len(subjects)) or certify(self, subjects)
    )
    assert again.mine(0).skipped == 2
    assert asked == []


def test_who_asks_for_neither_measure_pays_for_neither(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, seeing: str
) -> None:
    assert campaign(tiny_rm_folder, preference_file, tmp_path, seeing, min_power=0, max_alarms=1).mine(0).made == 2
    assert not [*tmp_path.glob("calibration/power-*"), *tmp_path.glob("calibration/alarms-*")]


def test_a_judges_errors_are_measured_once_a_run_with_what_a_verdict_takes(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, seeing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = campaign(tiny_rm_folder, preference_file, tmp_path, seeing)
    found = measured_certifier(run.models.certifier, run.world, run.run, progress=untold)
    assert found.checks["verdict"].hit_rate["random_words"].n == 300
    assert found.seconds_a_text is not None
    assert found.seconds_a_text > 0

    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(type(run.models.certifier), "certify", refuse)
    again = campaign(tiny_rm_folder, preference_file, tmp_path, seeing)
    assert measured_certifier(again.models.certifier, again.world, again.run, progress=untold) == found


def test_a_dry_run_says_what_judging_takes_where_an_lm_judges(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, seeing: str
) -> None:
    config = campaign(tiny_rm_folder, preference_file, tmp_path / "run", seeing).config
    found = estimate(config, Stages(names=("mine",)))
    assert found.judging is not None
    assert found.judging.n_calibration > 20
    assert min(found.judging.clear, found.judging.calibrating) > 0
    assert f"{found.judging.n_calibration} clean texts" in shown(found)
    alone = {"reference_lm": None, "checks": config.checks.model_copy(update={"names": ("repetition",)})}
    without = estimate(config.model_copy(update=alone), Stages(names=("mine",)))
    assert without.judging is None
    assert "a verdict takes" not in shown(without)


def shown(found: Estimate) -> str:
    written = StringIO()
    Console(file=written, width=200).print(dry_run_table(found))
    return written.getvalue()
