"""What the options of a verb say of the campaign file, and how a verb comes by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from miner.campaigns.run_folder import RunFolder
from miner.cli.options import CampaignOptions, Only, overrides_from_options, resume_or_load_config
from miner.cli.verb import verb
from miner.config.campaign import parse_config
from miner.errors import ConfigError


def test_budget_and_prompts_are_those_of_the_stages_named() -> None:
    options = CampaignOptions(budget=9, prompts=4)
    assert overrides_from_options(options) == {}
    assert overrides_from_options(options, "tune") == {"tune.budget_queries": 9, "tune.prompts": 4}
    assert overrides_from_options(options, "mine", "evaluate") == {
        f"{stage}.{key}": value
        for stage in ("mine", "evaluate")
        for key, value in (("budget_queries", 9), ("prompts", 4))
    }


def test_what_is_not_said_overrides_nothing_and_a_setting_wins_over_its_option() -> None:
    assert overrides_from_options(CampaignOptions(), "mine") == {}
    given = CampaignOptions(data="docs", seed=0, dtype="float32", ascii_only=True, settings=["rm.dtype=float16"])
    assert overrides_from_options(given) == {
        "data.world": "docs", "seed": 0, "rm.dtype": "float16", "rm.ascii_only": True,
    }  # fmt: skip
    assert overrides_from_options(CampaignOptions(data="pairs.jsonl")) == {"data.source": "pairs.jsonl"}
    more = given.with_settings("seed=3", "seed=4")
    assert overrides_from_options(more)["seed"] == 4
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        overrides_from_options(CampaignOptions(settings=["seed"]))


def test_a_run_is_resumed_with_its_own_file_unless_another_is_named(tmp_path: Path) -> None:
    stored = parse_config({"data": {"world": "docs"}, "out": str(tmp_path), "seed": 5}, where="test")
    RunFolder(tmp_path).write_config(stored)
    assert resume_or_load_config(CampaignOptions(out=str(tmp_path))).seed == 5
    assert resume_or_load_config(CampaignOptions(out=str(tmp_path), seed=6)).seed == 6
    other = tmp_path / "other.toml"
    other.write_text('out = "elsewhere"\n[data]\nworld = "docs"\n', encoding="utf-8")
    assert resume_or_load_config(CampaignOptions(config=other, out=str(tmp_path))).seed == 0
    fresh = resume_or_load_config(CampaignOptions(out=str(tmp_path / "new"), data="docs"))
    assert fresh.out == str(tmp_path / "new")


def test_a_verb_offers_only_the_fields_it_names_and_is_given_the_dataclass() -> None:
    app = typer.Typer()

    @app.command()
    @verb
    def shown(options: Annotated[CampaignOptions, Only("seed", "attacks")], times: int = 1) -> None:
        print(json.dumps([options.seed, options.attacks, options.budget, times]))

    def call(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*arguments, "--quiet"])
        return done.exit_code, done.stdout

    status, stdout = call("--seed", "3", "--attack", "gcg", "--attack", "random", "--times", "2")
    assert (status, json.loads(stdout)) == (0, [3, ["gcg", "random"], None, 2])
    assert json.loads(call()[1])[:1] == [None]
    assert call("--budget", "9")[0] == 2, "a field that it does not name is no option of it"
