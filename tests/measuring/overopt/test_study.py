"""The verb on real preference data: an RM and a policy whose tokenizers differ, gold from a second RM, the page."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from corpus import Corpus
from miner.campaigns.campaign import Campaign
from miner.cli.entry import app
from miner.errors import ConfigError, DataError
from miner.measuring.overopt.log import RunLog, read_samples
from miner.measuring.overopt.rl import RlRun
from miner.measuring.overopt.study import run_name
from miner.measuring.overopt.summary import summarise_study
from miner.reporting.overopt_page import write_overopt_report
from miner.worlds.docs.world import DocsWorld

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory, docs_world: DocsWorld) -> Path:
    """Byte-level BPE, where the RM reads word pieces; no chat template."""
    from miner.language_models.training import LanguageModelRecipe, train_language_model

    recipe = LanguageModelRecipe(
        vocabulary=320, hidden=16, layers=1, heads=2, steps=2, batch_rows=4, row_tokens=32, max_length=128
    )
    folder = tmp_path_factory.mktemp("policy")
    texts = docs_world.policy_text()[:50]
    train_language_model(texts, recipe, out=folder, seed=0, progress=lambda *_: None)
    return folder


def arguments(out: Path, rm: Path, policy: Path, data: Path) -> list[str]:
    small = {
        "overopt.prompts_per_step": 2, "overopt.samples_per_prompt": 2, "overopt.max_new_tokens": 6,
        "overopt.eval_every": 1, "overopt.checkpoint_every": 6, "overopt.eval_prompts": 10, "overopt.pool": 16,
        "overopt.pool_prompts": 8, "checks.names": "['repetition']", "checks.false_alarm": 0.05,
        "data.fractions": "[0.4,0.3,0.3]",
    }  # fmt: skip
    return [
        "overopt", "--out", str(out), "--rm", str(rm), "--policy", str(policy), "--data", str(data), "--gold", str(rm),
        "--second", str(rm), "--steps", "6", "--kl", "0.1", "--seeds", "1", "--device", "cpu", "--dtype", "float32",
        *(part for key, value in small.items() for part in ("--set", f"{key}={value}")),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, tiny_rm_folder: Path, policy: Path, preference_file: Path
) -> tuple[Path, list[str]]:
    out = tmp_path_factory.mktemp("study") / "run"
    given = arguments(out, tiny_rm_folder, policy, preference_file)
    done = CliRunner().invoke(app, [*given, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["runs"][0]["info"]["status"] == "done"
    return out, given


def test_a_study_stores_runs_pools_summary_and_page(study: tuple[Path, list[str]]) -> None:
    out, _ = study
    folder = out / "overopt"
    rows = read_samples(folder / run_name(0.1, 0))
    assert len(rows) == 7 * 10
    assert {row.gold == row.gold for row in rows} == {True}
    summary = summarise_study(folder)
    assert summary.pool is not None
    assert summary.pool.ns == (1, 2, 4, 8, 16)
    assert (folder / "overopt.html").exists()


def test_the_same_command_again_reads_what_is_stored(
    study: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RlRun, "_train", None)
    monkeypatch.setattr("miner.measuring.overopt.pools._write", None)
    done = CliRunner().invoke(app, study[1])
    assert done.exit_code == 0, done.output
    assert "when the policy starts to game the RM" in done.output


def test_mined_text_cannot_act_in_the_page(study: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder = tmp_path / "overopt"
    shutil.copytree(study[0] / "overopt", folder)
    log = RunLog(folder / run_name(0.1, 0))
    log.samples = [replace(row, response="<script>alert(1)</script>\u202e") for row in read_samples(log.folder)]
    log.write_rows()
    page = write_overopt_report(summarise_study(folder)).read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in page
    assert "<script" not in page


def test_a_folder_without_runs_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no runs"):
        summarise_study(tmp_path)


def test_a_dry_run_counts_and_trains_nothing(
    tmp_path: Path, tiny_rm_folder: Path, policy: Path, preference_file: Path
) -> None:
    given = arguments(tmp_path / "run", tiny_rm_folder, policy, preference_file)
    done = CliRunner().invoke(app, [*given, "--dry-run", "--json"])
    assert json.loads(done.stdout) == {"runs": 1, "steps": 6, "answers": 24, "measured": 70, "pooled": 128, "mined": 0}
    assert not (tmp_path / "run").exists()
    mined = ["--mine", "3", "--set", "overopt.mine_samples=5", "--set", "overopt.checkpoint_every=4"]
    done = CliRunner().invoke(app, [*given, *mined, "--dry-run"])
    assert "30 queries of 2 checkpoints as attack rl" in " ".join(done.stdout.split())


def test_without_a_policy_the_fix_is_named(tmp_path: Path, tiny_rm_folder: Path, preference_file: Path) -> None:
    given = arguments(tmp_path / "run", tiny_rm_folder, tmp_path, preference_file)
    at = given.index("--policy")
    done = CliRunner().invoke(app, given[:at] + given[at + 2 :])
    assert isinstance(done.exception, ConfigError)
    assert "--policy" in str(done.exception)


def test_checkpoints_mine_as_family_rl_with_their_step(study: tuple[Path, list[str]]) -> None:
    from miner.config.campaign import read_config
    from miner.measuring.overopt.mining import mine_checkpoints
    from miner.measuring.overopt.rl import checkpoints_of

    config = read_config(study[0] / "campaign.toml", {"out": str(study[0])})
    found = checkpoints_of(study[0] / "overopt" / run_name(0.1, 0))
    report = mine_checkpoints(config, found, n=4, prompts=2, max_new_tokens=6)
    assert (report.made, report.errors) == (2, 0)
    attempts = [one for one in Corpus(study[0] / "corpus").attempts() if one.attack == "rl"]
    assert {(one.family, one.attack_params["step"]) for one in attempts} == {("rl", 6)}
    with pytest.raises(ConfigError, match="no checkpoints"):
        mine_checkpoints(config, {}, n=4, prompts=2, max_new_tokens=6)


def test_the_command_mines_with_its_checkpoints_and_compares_with_another_study(
    study: tuple[Path, list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(study[0], out)
    given = [str(out) if one == str(study[0]) else one for one in study[1]]
    asked = ["--mine", "2", "--set", "overopt.mine_samples=4", "--against", str(study[0] / "overopt")]
    done = CliRunner().invoke(app, [*given, *asked])
    assert done.exit_code == 0, done.output
    assert "of 2 attempts found winning nonsense" in " ".join(done.output.split())
    assert re.search(r"overopt \(\w+\) → overopt \(\w+\)", done.output)
    mined = [one for one in Corpus(out / "corpus").attempts() if one.attack == "rl"]
    assert {(one.attack_params["n"], one.attack_params["step"]) for one in mined} == {(4, 6)}


def test_a_study_to_compare_with_that_is_not_there_is_named(study: tuple[Path, list[str]], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*study[1], "--against", str(tmp_path / "nothing")])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith(f"no such folder: {tmp_path / 'nothing'}")


def test_a_study_to_compare_with_is_looked_at_before_anything_is_trained(
    study: tuple[Path, list[str]], tmp_path: Path
) -> None:
    given = [str(tmp_path / "run") if one == str(study[0]) else one for one in study[1]]
    for wrong in (study[0], study[0] / "overopt" / run_name(0.1, 0)):
        done = CliRunner().invoke(app, [*given, "--against", str(wrong)])
        assert isinstance(done.exception, ConfigError)
        assert str(done.exception) == f"{wrong} holds no runs; did you mean {study[0] / 'overopt'}?"
    assert not (tmp_path / "run").exists()


def test_mining_that_breaks_off_leaves_the_campaign_file_as_it_was(
    study: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from miner.config.campaign import read_config
    from miner.measuring.overopt.mining import mine_checkpoints
    from miner.measuring.overopt.rl import checkpoints_of

    out = tmp_path / "run"
    shutil.copytree(study[0], out)
    config = read_config(out / "campaign.toml", {"out": str(out)})
    Campaign(config)
    before = (out / "campaign.toml").read_bytes()

    def break_off(*_: object, **__: object) -> None:
        assert (out / "campaign.toml").read_bytes() == before
        raise KeyboardInterrupt

    monkeypatch.setattr("miner.campaigns.attacking.run_plans", break_off)
    with pytest.raises(KeyboardInterrupt):
        mine_checkpoints(config, checkpoints_of(out / "overopt" / run_name(0.1, 0)), n=4, prompts=2, max_new_tokens=6)
    assert (out / "campaign.toml").read_bytes() == before


def test_a_mix_of_several_rms_is_the_target(
    tmp_path: Path, tiny_rm_folder: Path, policy: Path, preference_file: Path
) -> None:
    from miner.config.campaign import read_config
    from miner.judging.ensemble import Ensemble
    from miner.measuring.overopt.opening import open_study
    from miner.progress import Silent

    given = arguments(tmp_path / "run", tiny_rm_folder, policy, preference_file)
    asked = ["--set", 'overopt.target="variance"', "--set", f"overopt.members=['{tiny_rm_folder}','{tiny_rm_folder}']"]
    assert CliRunner().invoke(app, [*given, *asked, "--method", "bon"]).exit_code == 0
    config = read_config(tmp_path / "run" / "campaign.toml", {"out": str(tmp_path / "run")})
    target = open_study(config, 0, observer=Silent()).target
    assert isinstance(target, Ensemble)
    assert (len(target.members), target.mix) == (3, "variance")
    given = arguments(tmp_path / "other", tiny_rm_folder, policy, preference_file)
    unmixed = CliRunner().invoke(app, [*given, *asked[2:]])
    assert isinstance(unmixed.exception, ConfigError)
    assert "mixed into the target" in str(unmixed.exception)
