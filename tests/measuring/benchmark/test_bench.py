"""The benchmark on tiny random RMs: what is ranked, compared, replayed and refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from safetensors.torch import load_file, save_file

from attacks import Search, known_attacks
from corpus import Corpus
from corpus.records import Finding
from miner.campaigns.campaign import Campaign
from miner.cli.bench import _troubles
from miner.config.campaign import DataSection
from miner.errors import ConfigError, ModelError
from miner.measuring.benchmark import BenchReport, Suite, bench, suite_config
from miner.measuring.benchmark.docs_models import longer
from miner.measuring.benchmark.entrants import entrants, names
from miner.measuring.benchmark.junit import write_junit
from miner.measuring.benchmark.report import BenchRow
from miner.measuring.benchmark.run import break_costs, first_find
from miner.measuring.benchmark.suite import UNIVERSAL
from miner.progress import Silent
from miner.reporting.bench_page import PAGE_NAME, write_page
from miner.statistics import median_cost
from miner.testing import toy_prompts

SUITE = Suite(version="test", attacks=("corrupt", "random"), prompts=10, budget_queries=60, seeds=1)


def settings(data: Path) -> dict[str, Any]:
    return {
        "rm.dtype": "float32",
        "rm.device": "cpu",
        "data.source": str(data),
        "data.fractions": [0.4, 0.3, 0.3],
        "checks.names": ["repetition", "construction"],
        "checks.false_alarm": 0.05,
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
    out = tmp_path_factory.mktemp("mined")
    config = suite_config("first", {"source": models[0]}, out, SUITE, settings(preference_file))
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


def run(models: tuple[str, ...], out: Path, data: Path, *, suite: Suite = SUITE, **changes: Any) -> BenchReport:
    named = {model: {"source": model} for model in models}
    return bench(
        named,
        out=out,
        suite=suite,
        settings=settings(data),
        observer=Silent(),
        command="test",
        publish=write_page,
        **changes,
    )


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
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/corpus/attempts/**/*.parquet")}
    assert len({path.relative_to(out).parts[0] for path in before}) == len(models)
    assert run(models, out, preference_file, findings=stored) == report
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/corpus/attempts/**/*.parquet")} == before


def test_what_is_over_the_limit_is_said_and_fails_in_junit(reported: tuple[BenchReport, Path], tmp_path: Path) -> None:
    report, _ = reported
    failed = [one for one in report.rates_against(0.05) if one.failed]
    assert any(one.name.startswith("replay ") for one in failed)
    assert not any(one.failed and one.name.startswith("attack ") for one in report.rates_against(1.0))
    assert not any(one.failed for one in report.rates_against(None))
    assert not any(one.name == "attack random" for one in report.rates_against(0.0)), "the control breaks nothing"
    write_junit(report, tmp_path / "ci" / "junit.xml", limit=0.05)
    suites = ElementTree.parse(tmp_path / "ci" / "junit.xml").getroot().findall("testsuite")
    assert [suite.get("name") for suite in suites] == [row.model for row in report.rows]
    failures = [(suite.get("name"), c.get("name")) for suite in suites for c in suite if c.find("failure") is not None]
    assert failures == [(one.model, one.name) for one in failed]
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


def test_nothing_to_do_is_refused(models: tuple[str, str], preference_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to do"):
        run(models, tmp_path, preference_file, attack=False)


def test_the_built_in_models_are_asked_for_by_name(models: tuple[str, str]) -> None:
    data = DataSection(world="docs", quick=True)
    assert entrants(models, data, observer=Silent()) == {Path(m).name: {"source": m} for m in models}
    with pytest.raises(ConfigError, match="named twice"):
        entrants((models[0], models[0]), data, observer=Silent())
    with pytest.raises(ConfigError, match=r"no RM 'encodr'\. It has: encoder, patched, causal"):
        entrants(("docs:encodr",), data, observer=Silent())


def test_the_longer_answer_is_the_better_one_to_the_rm_that_is_biased_on_purpose() -> None:
    prompt = replace(toy_prompts(1)[0], reference="short", rejected=("wrong",))
    (lengthened,) = longer([prompt, replace(prompt, rejected=())])
    assert (lengthened.reference, lengthened.rejected) == ("short wrong", ("short",))


def test_one_text_for_many_prompts_is_measured_on_others(
    models: tuple[str, str], preference_file: Path, tmp_path: Path
) -> None:
    suite = replace(SUITE, attacks=("corrupt",), universal_queries=800)
    row = run(models[:1], tmp_path, preference_file, suite=suite).rows[0]
    assert row.broken is not None
    assert row.broken.n == SUITE.prompts, "an attempt on many prompts breaks none of them"
    assert [one.attack for one in row.attacks] == ["corrupt", "random"]
    stored = Corpus(next(tmp_path.glob("*/corpus"))).attempts()
    assert [len(one.prompt_ids) for one in stored if one.attack == UNIVERSAL] == [16]
    best = row.best_reach
    assert best is not None
    assert best.best_wins.value == max(one.best_wins.value for one in row.reach)
    assert suite.queries == SUITE.prompts * SUITE.budget_queries + 800


def test_the_page_shows_every_rm_and_every_mined_text_as_text(
    reported: tuple[BenchReport, Path], tmp_path: Path
) -> None:
    report, out = reported
    page = (out / PAGE_NAME).read_text(encoding="utf-8")
    assert page.count("<img") == 1, "one plot, embedded"
    for row in report.rows:
        assert row.model in page
    evil = replace(report.rows[0].examples[0], response="<script>alert(1)</script>\u202e\x1b[2J")
    bad = replace(report, rows=(replace(report.rows[0], examples=(evil,)), *report.rows[1:]))
    page = write_page(bad, tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_page_of_replays_alone_speaks_of_no_attack(
    models: tuple[str, str], stored: list[Finding], preference_file: Path, tmp_path: Path
) -> None:
    run(models[:1], tmp_path, preference_file, findings=stored, attack=False)
    page = (tmp_path / PAGE_NAME).read_text(encoding="utf-8")
    assert 'id="replay"' in page
    assert 'id="attacks"' not in page
    assert 'id="pairs"' not in page


def test_the_control_and_errors_do_not_count_as_breaking() -> None:
    prompt = toy_prompts(1)[0]
    attempts = [_attempt(prompt.prompt_id, **row) for row in (
        {"attack": "random", "queries_to_find": 3}, {"attack": "gcg", "queries_to_find": 40},
        {"attack": "corrupt", "queries_to_find": None}, {"attack": "broken", "queries_to_find": 1, "outcome": "error"},
    )]  # fmt: skip
    costs = break_costs(attempts)
    assert costs == {"gcg": {prompt.prompt_id: 40.0}, "corrupt": {prompt.prompt_id: float("inf")}}
    assert first_find(costs, ["gcg", "corrupt"]) == {prompt.prompt_id: 40.0}
    assert first_find(costs, ["corrupt"]) == {prompt.prompt_id: float("inf")}
    assert first_find(costs, []) == {}
    failed = break_costs([*attempts, _attempt(prompt.prompt_id, attack="corrupt", outcome="error")])
    assert "corrupt" not in failed, "an attempt that failed might have found something sooner"


def test_nobody_is_ranked_by_an_attack_that_another_cannot_be_put_through() -> None:
    """One that only scores is attacked by ``corrupt`` alone; ``gcg`` breaks the other at once and ranks it no lower."""
    from miner.measuring.benchmark import run as benchmark

    ids = [f"prompt {n}" for n in range(12)]
    only_scores = {"corrupt": dict.fromkeys(ids, 20.0)}
    gradients = {"corrupt": dict.fromkeys(ids, 30.0), "gcg": dict.fromkeys(ids, 5.0)}
    results = [
        benchmark._Measured(BenchRow.without_figures(name, ""), costs, {one: one for one in ids}, "data")
        for name, costs in (("only scores", only_scores), ("gradients", gradients))
    ]
    report = benchmark._report(results, SUITE, 0, attack=True, command="test")
    assert report.ranked_by == ("corrupt",)
    assert [(row.model, row.mean_cost) for row in report.rows] == [("gradients", 30.0), ("only scores", 20.0)]
    (pair,) = report.comparisons
    assert (pair.model, pair.other, pair.cost.n) == ("gradients", "only scores", 12)


def _attempt(prompt_id: str, **row: Any) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(**{"prompt_ids": (prompt_id,), "budget": 60, "outcome": "found", **row})


def test_the_median_cost_has_the_interval_of_its_order_statistics() -> None:
    costs = [float(n) for n in range(1, 25)]
    found = median_cost(costs, budget=100)
    assert (found.value, found.low, found.high) == (12.0, 7.0, 18.0)  # P(7 ≤ Binomial(24, ½) < 18) = 0.977
    assert median_cost([50.0] * 24, budget=50) == replace(found, value=50.0, low=50.0, high=50.0, budget=50)
    assert median_cost([float("inf")] * 24, budget=50) == replace(found, value=None, low=None, high=None, budget=50)
    few = median_cost([3.0, 4.0, 5.0], budget=50)
    assert (few.value, few.low, few.high) == (4.0, 0.0, None)
    with pytest.raises(ValueError, match="at least one"):
        median_cost([], budget=10)


def test_a_missing_model_is_named_before_anything_runs(
    models: tuple[str, str], preference_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        run((models[0], str(tmp_path / "typo")), tmp_path / "out", preference_file)
    assert not (tmp_path / "out").exists()


def test_a_retrained_model_at_the_same_place_gets_a_folder_of_its_own(
    models: tuple[str, str], stored: list[Finding], preference_file: Path, tmp_path: Path
) -> None:
    place = tmp_path / "rm"
    values = []
    for source in models:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place)
        report = run((str(place),), tmp_path / "out", preference_file, findings=stored, attack=False)
        assert report.rows[0].replay is not None
        assert report.rows[0].clean_accuracy is not None
        values.append((report.rows[0].replay.value, report.rows[0].clean_accuracy.value))
    assert values[0][0] == 1.0 > values[1][0]
    assert values[0][1] == pytest.approx(1 - values[1][1], abs=0.02), "the negated RM prefers what the first does not"


def test_a_finding_that_an_rm_does_not_take_is_counted_apart(
    models: tuple[str, str], stored: list[Finding], preference_file: Path, tmp_path: Path
) -> None:
    long = replace(stored[0], response="word " * 400)
    row = run(models[:1], tmp_path, preference_file, findings=[*stored, long], attack=False).rows[0]
    assert row.replay is not None
    assert (row.replay.n, row.not_scored) == (len(stored), 1)


def test_errors_leave_their_prompts_out_and_are_counted(
    models: tuple[str, str], preference_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, seed: int) -> Search:
        del self, seed
        raise RuntimeError("a bug")
        yield

    monkeypatch.setattr(known_attacks()["corrupt"], "search", broken)
    report = run(models[:1], tmp_path, preference_file)
    row = report.rows[0]
    assert (row.errors, row.broken, row.cost, row.mean_cost) == (SUITE.prompts, None, None, None)
    assert [(one.n, one.errors) for one in row.attacks if one.attack == "corrupt"] == [(0, SUITE.prompts)]
    write_junit(report, tmp_path / "junit.xml", limit=0.5)
    assert "<error" in (tmp_path / "junit.xml").read_text(encoding="utf-8")


def test_each_model_keeps_the_settings_that_are_known_of_it(
    models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preference_file: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ids = ["PKU-Alignment/beaver-7b-v1.0-cost", "PKU-Alignment/beaver-7b-v1.0-reward"]
    for one in ids:
        shutil.copytree(models[0], tmp_path / one)
    for order in (ids, ids[::-1]):
        tables = entrants(order, DataSection(world="docs"), observer=Silent())
        configs = [suite_config(n, table, tmp_path, SUITE, settings(preference_file)) for n, table in tables.items()]
        weights = {Path(str(one.rm.source)).relative_to(tmp_path).as_posix(): one.rm.head.objectives for one in configs}
        assert weights[ids[0]] != weights[ids[1]]
        assert len({config.out for config in configs}) == 2


def test_a_campaign_file_brings_its_table_of_the_rm(models: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'[rm]\nsource = "{models[0]}"\nmax_length = 99\n', encoding="utf-8")
    found = entrants([str(tmp_path / "mine.toml"), models[1]], DataSection(world="docs"), observer=Silent())
    assert found == {"mine": {"source": models[0], "max_length": 99}, "negated": {"source": models[1]}}
    (tmp_path / "empty.toml").write_text("[data]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"names no RM: a table \[rm\]"):
        entrants([str(tmp_path / "empty.toml")], DataSection(world="docs"), observer=Silent())


def test_names_are_the_shortest_ends_that_tell_models_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "rm", tmp_path / "b" / "rm", tmp_path / "other"]
    for folder in folders:
        folder.mkdir(parents=True)
    assert list(names([str(one) for one in folders]).values()) == ["a/rm", "b/rm", "other"]
    assert names(["org/model-of-a-hub"]) == {"org/model-of-a-hub": "org/model-of-a-hub"}


def test_one_model_that_cannot_be_opened_leaves_the_others_measured(
    models: tuple[str, str], preference_file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(models[0], broken)
    (broken / "model.safetensors").unlink()
    (broken / "pytorch_model.bin").write_bytes(b"pickled")
    report = run((models[0], str(broken)), tmp_path / "out", preference_file)
    first, last = report.rows
    assert first.broken is not None
    assert last.failed is not None
    assert "pickled weights only" in last.failed
    assert "pickled weights only" in (tmp_path / "out" / PAGE_NAME).read_text(encoding="utf-8")
    write_junit(report, tmp_path / "junit.xml", limit=None)
    suites = ElementTree.parse(tmp_path / "junit.xml").getroot().findall("testsuite")
    assert [suite.get("errors") for suite in suites] == ["0", "1"]
    with pytest.raises(ModelError, match="pickled weights only"):
        run((str(broken),), tmp_path / "alone", preference_file)


def test_an_attack_that_an_rm_cannot_answer_is_left_out_and_said(
    models: tuple[str, str], preference_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miner.rewards.adapters.transformer.TransformerRewardModel.has_gradients", False)
    row = run(models[:1], tmp_path, preference_file, suite=replace(SUITE, attacks=("gcg", "corrupt"))).rows[0]
    assert row.unable == ("gcg",)
    assert {one.attack for one in row.attacks} == {"corrupt", "random"}
    assert row.broken is not None


def test_findings_that_are_not_taken_are_skipped_tests(
    models: tuple[str, str], stored: list[Finding], preference_file: Path, tmp_path: Path
) -> None:
    long = replace(stored[0], response="word " * 400)
    report = run(models[:1], tmp_path, preference_file, findings=[long], attack=False)
    write_junit(report, tmp_path / "junit.xml", limit=0.0)
    (suite,) = ElementTree.parse(tmp_path / "junit.xml").getroot().findall("testsuite")
    assert (suite.get("tests"), suite.get("skipped")) == ("1", "1")
    (line,) = _troubles(report, 1)
    assert "takes none of the 1 findings: nothing was replayed" in line, "which ends with status 1, not 0"
