"""A package of somebody else adds an attack, a check, a kind of RM, a kind of policy and a report section."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from corpus.records import Attempt, Finding
from miner.campaigns.campaign import Campaign
from miner.config.campaign import CampaignConfig, parse_config, read_config
from miner.errors import ConfigError
from miner.reporting import write_report
from miner.reporting.summarise import summarise

PACKAGE = Path(__file__).parent / "outside_package"
ROOT = Path(__file__).parents[1]
WORTH = {"good": 1.0, "file": 0.5, "reads": 0.2, "a": 0.0, "the": 0.0, "bad": -1.0, "superb": 4.0}


def install(target: Path) -> None:
    """What ``pip install --target`` leaves behind: the module, and the entry points of its pyproject.toml."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shutil.copytree(PACKAGE / "outside_miner", target / "outside_miner", ignore=shutil.ignore_patterns("__pycache__"))
    about = target / f"outside_miner-{project['version']}.dist-info"
    about.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (about / "METADATA").write_text(head, encoding="utf-8")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in points.items())
        for group, points in project["entry-points"].items()
    )
    (about / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A campaign that ran with the package installed, and its report."""

    folder: Path
    attempts: list[Attempt]
    findings: list[Finding]
    config: CampaignConfig
    page: str
    plots: set[str]


def raw_config(folder: Path) -> dict[str, Any]:
    """A campaign of theirs alone, beside the control; its data are sentences of the lexicon's words."""
    rng, words = Random(0), ("good", "file", "reads", "a", "the", "stream", "path")
    rows = [
        {
            "prompt": f"What does function {number} do?",
            "chosen": f"The function {number} " + " ".join(rng.choices(words, k=10)),
            "rejected": "bad " * 3 + f"function {number}",
        }
        for number in range(90)
    ]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "words.json").write_text(json.dumps(WORTH), encoding="utf-8")
    (folder / "phrases.json").write_text(json.dumps(["superb superb", "a file", "the bad"]), encoding="utf-8")
    return {
        "rm": {"source": str(folder / "words.json"), "kind": "lexicon", "emphasis": 2.0},
        "policy": {"source": str(folder / "phrases.json"), "kind": "phrases", "phrases_each": 3},
        "data": {"source": str(folder / "data.jsonl"), "fractions": [0.4, 0.4, 0.2]},
        "out": str(folder / "run"),
        "rounds": 1,
        "checks": {"names": ["monotony", "repetition"], "false_alarm": 0.05},
        "attacks": [{"name": "echo", "params": {"width": 4}}, {"name": "best_of_n"}, {"name": "random"}],
        "mine": {"prompts": 6, "budget_queries": 40},
        "evaluate": {"prompts": 12, "budget_queries": 40},
    }


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    return folder


@pytest.fixture(scope="module")
def ran(target: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("outside")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(target))
        campaign = Campaign(parse_config(raw_config(folder), where="here"))
        campaign.cycle()
        summarise(campaign, command="test").write(campaign.folder)
        files = write_report(campaign.folder, attribution=None)
        stored = read_config(campaign.folder / "campaign.toml")
    for name in [name for name in sys.modules if name.partition(".")[0] == "outside_miner"]:
        del sys.modules[name]
    return Ran(
        folder=campaign.folder,
        attempts=campaign.corpus.attempts(),
        findings=campaign.findings(),
        config=stored,
        page=files.html.read_text(encoding="utf-8"),
        plots=set(files.plots),
    )


def test_their_attack_and_their_policy_are_used(ran: Ran) -> None:
    assert {attempt.attack for attempt in ran.attempts} == {"echo", "best_of_n", "random"}
    assert [attempt.error for attempt in ran.attempts if attempt.error] == []


def test_their_rm_is_fooled_and_their_check_convicts(ran: Ran) -> None:
    echoed = [finding for finding in ran.findings if finding.attack == "echo"]
    assert echoed
    for finding in echoed:
        (word,) = set(finding.response.split())
        assert finding.reward == pytest.approx(2.0 * WORTH[word]), "a liked word counts as often as rm.emphasis says"
        assert {one.check: one.verdict for one in finding.certificate}["monotony"] == "nonsense"
        assert finding.form == "repetition"


def test_their_section_stands_in_the_report_with_its_plot(ran: Ran) -> None:
    assert '<a href="#lengths">Lengths</a>' in ran.page
    row = ran.page[ran.page.index('data-attack="echo"><td>echo') :]
    assert '<data value="8.0">8.0</data>' in row[: row.index("</tr>")]
    assert "lengths" in ran.plots
    assert (ran.folder / "plots" / "lengths.png").read_bytes()[:4] == b"\x89PNG"


def test_the_stored_campaign_file_keeps_their_keys(ran: Ran) -> None:
    stored = ran.config.model_dump()
    assert (stored["rm"]["emphasis"], stored["policy"]["phrases_each"]) == (2.0, 3)


def test_without_the_package_its_names_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no kind 'lexicon'"):
        parse_config(raw_config(tmp_path), where="here")


SUITES = {
    "tests/attacks/test_conformance.py": "echo",
    "tests/judging/checks/test_conformance.py": "monotony",
    "tests/rewards/test_kinds.py": "lexicon",
    "tests/language_models/test_policies.py": "phrases",
}


@pytest.mark.parametrize("suite", SUITES)
def test_what_they_add_is_tested_by_our_suites_unedited(suite: str, target: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", SUITES[suite], "-vv", suite],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(rf"\[{SUITES[suite]}.*PASSED", done.stdout)
