"""Tuning on a tiny random RM: mechanics of the study, its journal and what is written; not that it helps."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from attacks import Attack, Search, known_attacks
from attacks.registry import BUILT_IN
from corpus import Corpus
from miner.campaigns.campaign import Campaign
from miner.campaigns.requirements import patch_findings
from miner.campaigns.tuning import FILE_NAME, TuningReport, read_tuning, tune
from miner.campaigns.tuning.study import JOURNAL_NAME, WORKER, finished, heal, open_study
from miner.config.campaign import CampaignConfig, read_config
from miner.errors import ConfigError
from miner.reporting import write_report
from miner.reporting.summarise import summarise
from tests.campaigns.configs import config_for


def plain(journal: Path) -> optuna.Study:
    return optuna.load_study(study_name="study", storage=JournalStorage(JournalFileBackend(str(journal))))


def store(campaign: Campaign) -> Corpus:
    return Corpus(campaign.folder / "tuning")


TUNE = {"trials": 5, "prompts": 10, "budget_queries": 40, "held_out_prompts": 8}


def tuning_config(rm: Path, data: Path, out: Path) -> CampaignConfig:
    return config_for(rm, data, out, tune=TUNE, attacks=[{"name": "random"}, {"name": "corrupt"}])


@pytest.fixture(scope="module")
def tuned(
    tiny_rm_folder: Path, preference_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Campaign, TuningReport]:
    campaign = Campaign(tuning_config(tiny_rm_folder, preference_file, tmp_path_factory.mktemp("tuned")))
    return campaign, tune(campaign, "random")


def test_the_default_is_tried_first_and_the_winner_needs_no_more_queries(tuned: tuple[Campaign, TuningReport]) -> None:
    _, report = tuned
    assert dict(report.trials[0].params) == dict(report.default)
    assert len(report.trials) == TUNE["trials"]
    assert report.tuned_cost <= report.default_cost <= TUNE["budget_queries"]
    assert report.change.n == report.held_out_default.n == TUNE["held_out_prompts"]


def test_trials_are_paired_by_prompt_and_stored_as_attempts(tuned: tuple[Campaign, TuningReport]) -> None:
    campaign, report = tuned
    attempts = [a for a in store(campaign).attempts() if a.split == "train"]
    settings = {tuple(sorted(trial.params.items())) for trial in report.trials}
    assert len({a.attempt_id for a in attempts}) == len(attempts)
    assert {tuple(sorted(a.attack_params.items())) for a in attempts} == settings
    seeds = {(a.prompt_ids, a.seed) for a in attempts}
    assert len(seeds) == TUNE["prompts"], "every trial meets the same prompts with the same seeds"


def test_running_again_makes_no_attempt_and_says_the_same(tuned: tuple[Campaign, TuningReport]) -> None:
    campaign, report = tuned
    before = store(campaign).attempt_ids()
    assert tune(Campaign(campaign.config), "random") == report
    assert store(campaign).attempt_ids() == before
    assert campaign.usage.seconds["tune"] > 0
    assert read_tuning(campaign.folder) == report


def test_the_tuned_file_is_a_campaign_of_the_same_folder(tuned: tuple[Campaign, TuningReport]) -> None:
    campaign, report = tuned
    config = read_config(campaign.folder / "tuned.toml")
    (section,) = [section for section in config.attacks if section.name == "random"]
    assert {key: section.build().params[key] for key in report.tuned} == dict(report.tuned)
    assert Campaign(config).campaign_id == campaign.campaign_id


def test_what_tuning_tried_is_no_result_of_the_campaign(
    tuned: tuple[Campaign, TuningReport], tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    campaign, _ = tuned
    assert store(campaign).attempt_ids()
    campaign.evaluate(0)
    untouched = Campaign(tuning_config(tiny_rm_folder, preference_file, tmp_path))
    untouched.evaluate(0)
    with_tuning, without = (summarise(one, command="test").rounds[0] for one in (campaign, untouched))
    assert with_tuning.attacks == without.attacks
    assert with_tuning.contrasts == without.contrasts
    assert not patch_findings(campaign), "none of the train findings that tuning made"


def test_an_error_is_no_break_cost(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, seed: int) -> Search:
        del self, seed
        raise RuntimeError("a bug")
        yield

    monkeypatch.setattr(known_attacks()["random"], "search", broken)
    with pytest.raises(ConfigError, match="without an error"):
        tune(Campaign(tuning_config(tiny_rm_folder, preference_file, tmp_path)), "random")


def test_a_file_tuned_for_another_rm_is_refused(tuned: tuple[Campaign, TuningReport], tmp_path: Path) -> None:
    campaign, _ = tuned
    config = read_config(campaign.folder / "tuned.toml", {"out": str(tmp_path / "other")})
    assert config.tuned is not None
    other = config.tuned.model_copy(update={"rm_fingerprint": "0" * 32})
    with pytest.raises(ConfigError, match="tuned against another RM"):
        Campaign(config.model_copy(update={"tuned": other}))


def test_an_attack_without_a_space_or_an_entry_is_refused(tuned: tuple[Campaign, TuningReport]) -> None:
    campaign, _ = tuned
    with pytest.raises(ConfigError, match="no hyper-parameter to tune"):
        tune(campaign, "corrupt")
    with pytest.raises(ConfigError, match=r"no \[\[attacks\]\] entry"):
        tune(campaign, "gcg")


def test_a_torn_last_line_stops_optuna_and_is_healed(tmp_path: Path) -> None:
    study = open_study(tmp_path, "study", {"width": 8}, seed=0)
    study.tell(study.ask(), 1.0)
    journal = tmp_path / JOURNAL_NAME
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "worker')
    for _ in range(2):
        with contextlib.suppress(AttributeError, ValueError):
            plain(journal).ask()  # the first joins its own line to the torn one, the second writes behind that
    with pytest.raises(ValueError, match=r"column|Invalid"):  # JSON's complaint
        plain(journal)
    journal.write_bytes(whole + b'{"op_code": 4, "worker')
    assert len(finished(open_study(tmp_path, "study", {"width": 8}, seed=0))) == 1
    heal(journal)
    assert journal.read_bytes().endswith(b"\n")


def test_a_study_needs_no_symbolic_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "a required privilege is not held by the client")  # Windows

    monkeypatch.setattr(os, "symlink", refused)
    for _ in range(2):
        open_study(tmp_path, "study", {"width": 8}, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == [JOURNAL_NAME]


def test_a_dead_workers_trial_is_tried_again_and_a_live_ones_left_alone(tmp_path: Path) -> None:
    study = open_study(tmp_path, "study", {"width": 8}, seed=0)
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    host = socket.gethostname()
    for process in (int(ended.stdout), os.getppid()):
        trial = study.ask()
        trial.set_user_attr(WORKER, f"{host}:{process}")
        trial.suggest_int("width", 4, 16)
    again = open_study(tmp_path, "study", {"width": 8}, seed=0)
    assert [trial.state.name for trial in again.trials] == ["FAIL", "RUNNING", "WAITING"]
    retried = again.ask()
    assert retried.suggest_int("width", 4, 16) == again.trials[0].params["width"]


def test_some_attacks_have_a_space() -> None:
    assert {"gcg", "random"} <= {kind.name for kind in BUILT_IN if kind.space}


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_every_spaces_names_are_hyper_parameters_and_hold_the_defaults(kind: type[Attack]) -> None:
    params = kind().params
    assert set(kind.space) <= set(params)
    for name, span in kind.space.items():
        assert span.low <= params[name] <= span.high
        assert isinstance(params[name], int) == (isinstance(span.low, int) and isinstance(span.high, int))


def test_no_tuning_no_report(tmp_path: Path) -> None:
    assert read_tuning(tmp_path) is None
    (tmp_path / FILE_NAME).write_text("{}", encoding="utf-8")
    with pytest.raises(Exception, match="not a tuning report"):
        read_tuning(tmp_path)


def test_the_report_shows_the_tuning(tuned: tuple[Campaign, TuningReport]) -> None:
    campaign, report = tuned
    campaign.evaluate(0)
    summarise(campaign, command="test").write(campaign.folder)
    files = write_report(campaign.folder, attribution=None)
    page = files.html.read_text(encoding="utf-8")
    assert "Tuning of random" in page
    assert f"{report.train_prompts}</data> train prompts" in page
    assert files.plots["tuning"].stat().st_size > 5000
