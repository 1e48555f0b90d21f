"""``rmminer triage`` on a run of its own: a tiny random RM on real docstrings, patched once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from miner.campaigns.campaign import Campaign
from miner.config.campaign import CampaignConfig
from miner.errors import ConfigError, DataError
from miner.judging.checks import Subject
from miner.measuring.triage import rounds
from miner.measuring.triage.result import TriageResult, read_triage
from miner.measuring.triage.settings import TriageSettings
from miner.measuring.triage.shrinking import Shrunk
from miner.measuring.triage.store import Rows
from miner.measuring.triage.triage import triage
from miner.reporting import write_report
from miner.reporting.summarise import summarise
from miner.rewards import Pair

SETTINGS = TriageSettings(max_queries=60, reach_groups=2, reach_prompts=8)


def config_for(rm: Path, data: Path, out: Path) -> CampaignConfig:
    raw: dict[str, Any] = {
        "rm": {"source": str(rm), "dtype": "float32", "device": "cpu"},
        "data": {"source": str(data), "fractions": [0.4, 0.3, 0.3]},
        "out": str(out),
        "rounds": 1,
        "checks": {"names": ["repetition", "construction"], "false_alarm": 0.05},
        "attacks": [{"name": "corrupt", "params": {"variants": 4}}, {"name": "random", "params": {"width": 8}}],
        "mine": {"prompts": 10, "budget_queries": 60},
        "evaluate": {"prompts": 8, "budget_queries": 60},
        "patch": {"steps": 6, "batch_pairs": 8, "learning_rate": 1e-3},
    }
    return CampaignConfig.model_validate(raw)


@pytest.fixture(scope="module")
def run(tiny_rm_folder: Path, preference_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    campaign = Campaign(config_for(tiny_rm_folder, preference_file, out))
    campaign.cycle()
    summarise(campaign, command="test").write(out)
    return out


@pytest.fixture
def campaign(run: Path, tmp_path: Path) -> Campaign:
    """A copy of the run, not triaged."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("triage"))
    return opened(folder)


def opened(folder: Path) -> Campaign:
    from miner.config.campaign import read_config

    return Campaign(read_config(folder / "campaign.toml", {"out": str(folder)}))


@pytest.fixture
def call(run_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("COLUMNS", "160")
    return partial(run_here, "triage")


def test_a_triage_shrinks_groups_places_and_follows_every_finding(campaign: Campaign) -> None:
    found = triage(campaign, SETTINGS)
    findings = {finding.finding_id: finding for finding in campaign.findings()}
    assert found.n == found.of == len(findings) > 1
    assert sum(group.count for group in found.groups) == found.n
    assert found.shrink_factor is not None
    assert found.shrink_factor.low <= found.shrink_factor.value <= found.shrink_factor.high
    for group in found.groups:
        own = findings[group.representative_id]
        rm, criteria = campaign.models.rm(own.round), campaign.models.criteria(own.round)
        assert criteria.wins(rm.reward(Pair(own.prompt, group.representative)), own.reference_reward)
        subject = Subject(response=group.representative, prompt=own.prompt, construction="repeated_token")
        (certificate,) = campaign.models.certifier.certify([subject])
        assert certificate.verdict == "nonsense" or group.representative == own.response
    assert [group.reach is not None for group in found.groups[:2]] == [True, True]
    assert {one.round for one in found.distances} == {finding.round for finding in findings.values()}
    for one in found.distances:
        assert len(one.percentiles) == sum(finding.round == one.round for finding in findings.values())
        assert one.auroc.n_negative == len(one.clean)
    for row in found.bisect:
        assert row.wins[row.found_in].value == 1, "a finding wins in its own round"
        assert row.never + sum(row.stopped.values()) == row.n
    assert read_triage(campaign.folder) == found


def test_a_cut_off_triage_goes_on_to_the_same_result_and_measures_nothing_twice(
    campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = triage(campaign, SETTINGS)
    cut = tmp_path / "cut"
    shutil.copytree(campaign.folder, cut, ignore=shutil.ignore_patterns("triage"))
    monkeypatch.setattr(rounds, "PUBLISHED_AT_ONCE", 2)
    published = Rows.publish

    def killed(self: Rows[Any], fresh: Any) -> None:
        published(self, fresh)
        raise KeyboardInterrupt

    monkeypatch.setattr(Rows, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        triage(opened(cut), SETTINGS)
    monkeypatch.setattr(Rows, "publish", published)
    assert len(Rows(cut / "triage" / "shrunk", Shrunk).read()) == 2
    assert comparable(triage(opened(cut), SETTINGS)) == comparable(whole)

    asked: list[object] = []
    monkeypatch.setattr(rounds, "shrink", lambda findings, *_args, **_kwargs: asked.extend(findings) or iter(()))
    assert comparable(triage(opened(cut), SETTINGS)) == comparable(whole)
    assert not asked


def comparable(result: TriageResult) -> str:
    """To the rounding that another batch may bring."""
    from miner.cli.output import plain

    return json.dumps(json.loads(json.dumps(plain(result)), parse_float=lambda x: round(float(x), 2)))


def test_no_published_row_is_changed_and_another_cap_is_another_row(campaign: Campaign) -> None:
    before = {path: path.read_bytes() for path in (campaign.folder / "corpus").rglob("*") if path.is_file()}
    triage(campaign, SETTINGS)
    kept = Rows(campaign.folder / "triage" / "shrunk", Shrunk).read()
    triage(campaign, TriageSettings(max_queries=5, bisect=False, distance=False, reach_groups=0))
    assert {path: path.read_bytes() for path in (campaign.folder / "corpus").rglob("*") if path.is_file()} == before
    rows = Rows(campaign.folder / "triage" / "shrunk", Shrunk).read()
    assert len(rows) == 2 * len(kept)
    assert {key: rows[key] for key in kept} == kept


def test_a_damaged_row_is_refused_and_named(campaign: Campaign) -> None:
    triage(campaign, TriageSettings(max_queries=5, bisect=False, distance=False, reach_groups=0, attribution=False))
    (path, *_) = (campaign.folder / "triage" / "shrunk").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged"):
        triage(campaign, TriageSettings(max_queries=5, bisect=False, distance=False, reach_groups=0, attribution=False))


def test_a_part_of_the_findings_can_be_triaged_and_no_reward_chooses_them(campaign: Campaign) -> None:
    findings = campaign.findings()
    few = TriageSettings(limit=3).choose(findings)
    assert few == TriageSettings(limit=3).choose(findings[::-1])
    assert {f.split for f in TriageSettings(split="train").choose(findings)} == {"train"}
    assert {f.round for f in TriageSettings(rounds=(0,)).choose(findings)} == {0}
    with pytest.raises(ConfigError, match="round 0"):
        TriageSettings(rounds=(7,)).choose(findings)
    with pytest.raises(ConfigError, match="at least 1"):
        TriageSettings(max_queries=0)


def test_the_report_shows_a_triage_only_after_one(campaign: Campaign) -> None:
    page = write_report(campaign.folder, attribution=None).html.read_text(encoding="utf-8")
    assert 'id="triage"' not in page
    found = triage(campaign, SETTINGS)
    files = write_report(campaign.folder, attribution=None)
    page = files.html.read_text(encoding="utf-8")
    assert 'id="triage"' in page
    assert page.count('class="group"') == min(30, len(found.groups))
    assert page.count('class="bisect"') == len(found.bisect)
    assert files.plots["distances"].exists()
    again = summarise(campaign, command="test")
    assert again.triage == found, "a later summary keeps it"


def test_the_command_triages_and_says_what_it_may_cost_before(run: Path, call: Callable[..., Any]) -> None:
    shutil.rmtree(run / "triage", ignore_errors=True)
    dry = call(run, "--max-queries", 60, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    at_most = json.loads(dry.stdout)["queries_at_most"]
    assert not (run / "triage").exists()
    done = call(run, "--max-queries", 60, "--no-attribution", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["n"] == json.loads(dry.stdout)["findings"]
    assert found["queries"]["minimal text"] + found["queries"]["cause"] <= at_most["shrinking"]
    assert json.loads((run / "summary.json").read_text(encoding="utf-8"))["triage"] == found, (
        "the summary has it at once"
    )
    table = call(run, "--max-queries", 60, "--no-attribution", "--no-bisect", "--no-distance")
    assert table.returncode == 0, table.stderr
    assert "queries at most" in table.stderr
    assert f"{found['n']} findings in {len(found['groups'])} groups" in table.stdout


def test_no_run_no_findings_and_bad_options_are_one_line_and_status_2(
    run: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(run / "campaign.toml", bare)
    for arguments, told in (
        ([tmp_path / "nowhere"], "not a run's folder"),
        ([bare], "no findings to triage. Mine first"),
        ([run, "--round", 9], "leave --round and --split out"),
        ([run, "--split", "calibration"], "expected train or held_out"),
        ([run, "--max-queries", 0], "at least 1 query"),
    ):
        done = call(*arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        line = done.stderr.strip().splitlines()[-1]  # a library may have grumbled before it
        assert line.startswith("rmminer: ")
        assert told in line
