"""The benchmark on tiny random RMs: what is ranked, compared, replayed and refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from safetensors.torch import load_file, save_file

from corpus import Corpus
from corpus.records import Finding
from miner.benchmark import BenchReport, Suite, bench, suite_config
from miner.benchmark.junit import write_junit
from miner.benchmark.run import break_costs
from miner.campaign import Campaign
from miner.errors import ConfigError
from miner.progress import Silent
from miner.statistics import median_cost

SUITE = Suite(version="test", attacks=("corrupt", "random"), prompts=10, budget_queries=60, seeds=1)


def settings(data: Path) -> dict[str, Any]:
    return {
        "rm": {"dtype": "float32", "device": "cpu"},
        "data": {"source": str(data), "fractions": [0.4, 0.3, 0.3]},
        "checks": {"names": ["repetition", "construction"], "false_alarm": 0.05},
    }


@pytest.fixture(scope="module")
def models(tiny_rm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A random RM, and the one that likes what the first dislikes."""
    other = tmp_path_factory.mktemp("rm") / "negated"
    shutil.copytree(tiny_rm_folder, other)
    weights = load_file(other / "model.safetensors")
    weights["classifier.weight"] = -weights["classifier.weight"]
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    return str(tiny_rm_folder), str(other)


@pytest.fixture(scope="module")
def stored(models: tuple[str, str], preference_file: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """Findings against the first RM."""
    config = suite_config(models[0], tmp_path_factory.mktemp("mined"), SUITE, settings(preference_file))
    campaign = Campaign(config)
    campaign.evaluate(0)
    found = campaign.findings()
    assert found
    return found


@pytest.fixture(scope="module")
def reported(
    models: tuple[str, str], stored: list[Finding], preference_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BenchReport, Path]:
    out = tmp_path_factory.mktemp("bench")
    return run(models, out, preference_file, findings=stored), out


def run(models: tuple[str, ...], out: Path, data: Path, **changes: Any) -> BenchReport:
    return bench(models, out=out, suite=SUITE, settings=settings(data), observer=Silent(), command="test", **changes)


def test_every_rm_has_a_row_with_n_and_the_hardest_comes_first(
    reported: tuple[BenchReport, Path], models: tuple[str, str]
) -> None:
    report, _ = reported
    assert {row.model for row in report.rows} == set(models)
    for row in report.rows:
        assert row.broken is not None
        assert row.cost is not None
        assert row.broken.n == row.cost.n == SUITE.prompts
        assert {one.attack for one in row.attacks} == set(SUITE.attacks)
    (comparison,) = report.comparisons
    assert (comparison.model, comparison.other) == (report.rows[0].model, report.rows[1].model)
    assert comparison.cost.value >= 0, "the first is the harder one"


def test_findings_replayed_against_their_own_rm_all_win(
    reported: tuple[BenchReport, Path], models: tuple[str, str], stored: list[Finding]
) -> None:
    rows = {row.model: row for row in reported[0].rows}
    own, other = (rows[model].replay for model in models)
    assert own is not None
    assert other is not None
    assert (own.value, own.n) == (1.0, len(stored))
    assert other.value < 0.5
    assert sum(part.still_winning.n for part in rows[models[0]].replayed) == len(stored)


def test_running_again_makes_no_attempt(
    reported: tuple[BenchReport, Path], models: tuple[str, str], stored: list[Finding], preference_file: Path
) -> None:
    report, out = reported
    before = {path: Corpus(path).attempt_ids() for path in out.glob("*/corpus")}
    assert len(before) == len(models)
    assert run(models, out, preference_file, findings=stored) == report
    assert {path: Corpus(path).attempt_ids() for path in out.glob("*/corpus")} == before


def test_what_is_over_the_limit_is_said_and_fails_in_junit(reported: tuple[BenchReport, Path], tmp_path: Path) -> None:
    report, _ = reported
    assert any("replayed findings win" in line for line in report.over(0.05))
    assert report.over(1.0) == []
    write_junit(report, tmp_path / "ci" / "junit.xml", limit=0.05)
    suites = ElementTree.parse(tmp_path / "ci" / "junit.xml").getroot().findall("testsuite")
    assert [suite.get("name") for suite in suites] == [row.model for row in report.rows]
    failures = {case.get("name") for suite in suites for case in suite if case.find("failure") is not None}
    assert any(name and name.startswith("replay ") for name in failures)
    assert sum(int(suite.get("failures", "0")) for suite in suites) == len(
        [case for suite in suites for case in suite if case.find("failure") is not None]
    )


def test_replay_alone_attacks_nothing(
    models: tuple[str, str], stored: list[Finding], preference_file: Path, tmp_path: Path
) -> None:
    report = run(models[:1], tmp_path, preference_file, findings=stored, attack=False)
    assert report.rows[0].attacks == ()
    assert report.rows[0].broken is None
    assert not any(Corpus(path).attempt_ids() for path in tmp_path.glob("*/corpus") if Corpus(path).exists())


def test_nothing_to_do_and_a_model_named_twice_are_refused(
    models: tuple[str, str], preference_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="nothing to do"):
        run(models, tmp_path, preference_file, attack=False)
    with pytest.raises(ConfigError, match="named twice"):
        run((models[0], models[0]), tmp_path, preference_file)


def test_the_control_and_errors_do_not_count_as_breaking() -> None:
    from miner.testing import toy_prompts

    prompt = toy_prompts(1)[0]
    attempts = [_attempt(prompt.prompt_id, **row) for row in (
        {"attack": "random", "queries_to_find": 3}, {"attack": "gcg", "queries_to_find": 40},
        {"attack": "corrupt", "queries_to_find": None}, {"attack": "broken", "queries_to_find": 1, "outcome": "error"},
    )]  # fmt: skip
    assert break_costs(attempts) == {prompt.prompt_id: 40.0}
    assert break_costs(attempts[2:3]) == {prompt.prompt_id: 60.0}


def _attempt(prompt_id: str, **row: Any) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(**{"prompt_ids": (prompt_id,), "budget": 60, "outcome": "found", **row})


def test_the_median_cost_has_the_interval_of_its_order_statistics() -> None:
    costs = [float(n) for n in range(1, 25)]
    found = median_cost(costs, budget=100)
    assert (found.value, found.low, found.high) == (12.0, 7.0, 18.0)  # P(7 ≤ Binomial(24, ½) < 18) = 0.977
    assert median_cost([50.0] * 24, budget=50) == replace(found, value=None, low=None, high=None, budget=50)
    with pytest.raises(ValueError, match="at least one"):
        median_cost([], budget=10)
