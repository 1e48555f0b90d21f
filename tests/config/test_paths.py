"""Paths: from where the command is given, from home, or from the run's own folder, which can be moved."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
import tomli_w

from miner.config.campaign import CampaignConfig, parse_config, read_config, stored_form
from miner.errors import ConfigError


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to give commands in, with models, data and a run; another as home."""
    for name in ("rm", "lm", "home/data", "run/rounds/0/model"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "run" / "own.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path


def config(**changes: object) -> CampaignConfig:
    given = {"rm.source": "rm", "data.source": "run/own.jsonl", "out": "run", "reference_lm.source": "lm", **changes}
    return parse_config({}, given, where="command line")


def store(one: CampaignConfig) -> Path:
    file = Path(one.out) / "campaign.toml"
    file.write_bytes(tomli_w.dumps(stored_form(one)).encode())
    return file


@pytest.mark.usefixtures("places")
def test_home_is_home_for_every_path() -> None:
    one = config(**{"rm.source": "~/rm", "data.source": "~/data", "out": "~/run", "policy.source": "~/p"})
    home = Path.home()
    assert (one.rm.source, one.data.source, one.out) == (str(home / "rm"), str(home / "data"), str(home / "run"))
    assert one.policy is not None
    assert one.policy.source == str(home / "p")


def test_hub_ids_addresses_and_names_stay_as_they_are(places: Path) -> None:
    (places / "docs").mkdir()
    one = config(**{"rm.source": "https://host:80", "policy.source": "owner/name", "reference_lm.source": "docs"})
    assert one.policy is not None
    assert one.reference_lm is not None
    assert (one.rm.source, one.policy.source, one.reference_lm.source) == ("https://host:80", "owner/name", "docs")


def test_the_models_of_a_study_are_found_from_anywhere(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"overopt.gold": "rm,docs, ~/data", "overopt.members": ["lm", "owner/name"], "rm.source": "https://host:80",
             "rm.remote.tokenizer": "lm"}  # fmt: skip
    file = store(config(**given)).absolute()
    monkeypatch.chdir(places / "home")
    after = read_config(file)
    assert after.overopt.gold == f"{places / 'rm'},docs,{places / 'home' / 'data'}"
    assert after.overopt.members == (str(places / "lm"), "owner/name")
    assert after.rm.remote is not None
    assert after.rm.remote.tokenizer == str(places / "lm")


def test_a_run_is_read_from_anywhere(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = config()
    file, digest = store(before).absolute(), before.fixed_digest()
    monkeypatch.chdir(places / "home")
    after = read_config(file)
    assert after.rm.source == str(places / "rm")
    assert after.data.source == str(places / "run" / "own.jsonl")
    assert Path(after.out) == places / "run"
    assert after.fixed_digest() == digest


def test_a_run_that_was_moved_finds_what_lies_in_it(places: Path) -> None:
    inside = "run/rounds/0/model"
    before = config(**{"rm.source": inside, "reference_lm.source": inside})
    store(before)
    digest = before.fixed_digest()
    moved = Path(shutil.move(places / "run", places / "home" / "moved"))
    after = read_config(moved / "campaign.toml")
    assert after.rm.source == str(moved / "rounds" / "0" / "model")
    assert after.data.source == str(moved / "own.jsonl")
    assert Path(after.out) == moved
    assert after.fixed_digest() == digest
    assert str(places / "run") not in (moved / "campaign.toml").read_text()


def test_storing_what_was_read_changes_nothing(places: Path) -> None:
    file = store(config())
    once = tomllib.loads(file.read_text())
    assert once["out"] == "."
    assert once["data"]["source"] == "./own.jsonl"
    assert tomllib.loads(store(read_config(places / "run" / "campaign.toml")).read_text()) == once


@pytest.mark.parametrize("key", ["rm.source", "data.source"])
def test_an_empty_source_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        config(**{key: ""})


def test_a_byte_order_mark_is_read_over(places: Path) -> None:
    file = places / "c.toml"
    file.write_bytes(b"\xef\xbb\xbf" + b'out = "z"\n[rm]\nsource = "x"\n[data]\nsource = "y"\n')
    assert read_config(file).rm.source == "x"


def test_a_folder_in_place_of_a_campaign_file_is_said_to_be_one(places: Path) -> None:
    with pytest.raises(ConfigError, match="for the model in it: --rm"):
        read_config(places / "rm")
    store(config())
    with pytest.raises(ConfigError, match=r"its campaign file: .*campaign\.toml"):
        read_config(places / "run")
