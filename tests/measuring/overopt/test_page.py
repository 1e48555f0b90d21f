"""What people see of a study: the page and the terminal's tables, on stored runs whose onset is known."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from miner.cli.overopt_tables import comparison_table, laws_table, runs_table
from miner.measuring.best_of_n import Pool
from miner.measuring.overopt.bands import mean_curve
from miner.measuring.overopt.by_kl_weight import by_kl_weight
from miner.measuring.overopt.eval_prompts import PROMPTS_FILE
from miner.measuring.overopt.log import RUN, RunLog
from miner.measuring.overopt.pools import _write as write_pools
from miner.measuring.overopt.results import RunInfo, StudySummary
from miner.measuring.overopt.rows import NAN
from miner.measuring.overopt.summary import summarise_study
from miner.reporting.overopt_answer import answers
from miner.reporting.overopt_figures import against_distance, against_steps
from miner.reporting.overopt_page import write_overopt_report
from miner.reporting.plot_style import LIGHT
from miner.statistics import student_interval
from tests.measuring.overopt.scored_study import PROMPTS, gaming_rows, store

NAMES = {"policy": "tiny-policy", "gold": "reward of tiny-gold", "second": "tiny-second"}
HOSTILE = "<script>alert(1)</script>\u202e"


def write_run(folder: Path, *, kl: float, seed: int, games: bool = True, **changes: Any) -> None:
    """Gold falls from step 25 on; where the run does not game, it stays as it starts."""
    rows = gaming_rows(seed)
    if not games:
        gold = {row.prompt_id: row.gold for row in rows if row.step == 0}
        rows = [replace(row, gold=gold[row.prompt_id]) for row in rows]
    run = folder / f"rl-kl{kl:g}-seed{seed}"
    store(run, rows)
    settings = {"steps": 55, "kl": kl, "seed": seed, "eval_samples": 1}
    info = RunInfo(
        name=run.name, method="rl", settings=settings, models={"rm": "f1", "gold": "f2"}, bar={}, status="done"
    )
    RunLog(run).write_info(replace(info, **changes))


def page_of(summary: StudySummary, **given: Any) -> str:
    return write_overopt_report(summary, **given).read_text(encoding="utf-8")


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudySummary:
    """Three runs that game under one weight, and one under another that does not."""
    folder = tmp_path_factory.mktemp("run") / "overopt"
    for seed in range(3):
        write_run(folder, kl=0.01, seed=seed)
    write_run(folder, kl=1, seed=0, games=False)
    return summarise_study(folder)


class TestAnswer:
    def test_it_says_how_many_game_from_which_step_and_when_to_stop(self, study: StudySummary) -> None:
        onsets = sorted(run.with_gold.onset.bend.step for run in study.runs if run.with_gold.onset)
        freest, strictest = answers(study)
        assert freest.about == "KL weight 0.01"
        assert "3 of 3 runs game the RM" in freest.text
        assert f"at step {onsets[1]:.0f} (median of those that game; " in freest.text
        assert f"stop before step {int(onsets[0])}." in freest.text
        assert "the run does not game the RM within 55 steps" in strictest.text
        assert "stop" not in strictest.text

    def test_it_stands_first_on_the_page(self, study: StudySummary) -> None:
        page = page_of(study)
        assert page.index("3 of 3 runs game") < page.index("<table") < page.index("<img")

    def test_a_single_onset_comes_with_its_interval(self, tmp_path: Path) -> None:
        write_run(tmp_path, kl=0.01, seed=0)
        summary = summarise_study(tmp_path)
        onset = summary.runs[0].with_gold.onset
        assert onset is not None
        (answer,) = answers(summary)
        expected = f"at step {onset.bend.step:.0f} (95 %: {onset.low:.0f} to {onset.high:.0f}): stop before step"
        assert expected in answer.text

    def test_runs_that_gold_cannot_tell_are_not_called_clean(self, tmp_path: Path) -> None:
        write_run(tmp_path, kl=0.01, seed=0)
        log = RunLog(tmp_path / "rl-kl0.01-seed0")
        log.samples = [replace(row, gold=NAN) for row in gaming_rows(0)]
        log.write_rows()
        (answer,) = answers(summarise_study(tmp_path))
        assert answer.text.startswith("gold cannot tell")
        assert "does not game" not in answer.text


class TestPage:
    def test_samples_are_shown_below_their_prompts_which_do_nothing(self, tmp_path: Path) -> None:
        write_run(tmp_path, kl=0.01, seed=0)
        asked = [{"prompt_id": one.prompt_id, "prompt": [{"role": "user", "content": HOSTILE}]} for one in PROMPTS[1:]]
        lines = "".join(f"{json.dumps(one)}\n" for one in asked)
        (tmp_path / "rl-kl0.01-seed0" / PROMPTS_FILE).write_text(lines, encoding="utf-8")
        summary = summarise_study(tmp_path)
        page = page_of(summary)
        shown = {one.prompt_id for one in summary.runs[0].examples}
        assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;\\u202e") == len(shown - {PROMPTS[0].prompt_id})
        assert ("prompt <code>" in page) == (PROMPTS[0].prompt_id in shown)
        assert "<script" not in page

    def test_what_was_measured_is_named(self, tmp_path: Path) -> None:
        for seed in range(2):
            write_run(tmp_path, kl=0.01, seed=seed, target="tiny-rm", names=NAMES, code_version="9.8")
        summary = summarise_study(tmp_path)
        shown = text_of(page_of(summary, command="rmminer overopt --out <here>").split('id="measured"')[1])
        answers_measured = 2 * len(PROMPTS) * len(summary.runs[0].points)
        for expected in (
            "Reward model tiny-rm (fingerprint f1)", "Gold reward of tiny-gold (fingerprint f2)", "tiny-second",
            "Policy tiny-policy", f"Held-out prompts {len(PROMPTS)}", f"Answers measured {answers_measured}",
            "Seeds 0, 1", "KL weights, per nat 0.01", "rmminer overopt --out &lt;here&gt;", "Made by rmminer 9.8",
        ):  # fmt: skip
            assert expected in shown

    def test_a_run_of_an_older_version_is_read_without_its_names(self, tmp_path: Path) -> None:
        write_run(tmp_path, kl=0.01, seed=0)
        path = tmp_path / "rl-kl0.01-seed0" / RUN
        stored = json.loads(path.read_text(encoding="utf-8"))
        for name in ("names", "code_version", "target"):
            del stored[name]
        path.write_text(json.dumps(stored), encoding="utf-8")
        shown = text_of(page_of(summarise_study(tmp_path)))
        assert "Reward model (fingerprint f1)" in shown
        assert "Made by" not in shown

    def test_what_was_not_measured_has_no_heading(self, study: StudySummary, tmp_path: Path) -> None:
        runs = page_of(study)
        assert not re.findall("Best of n|Not measured|→ overopt", runs)
        rng = np.random.default_rng(0)
        pools = {f"{n}": (["text"] * 16, Pool(proxy=rng.normal(size=16), gold=rng.normal(size=16))) for n in range(8)}
        write_pools(tmp_path / "pool.parquet", pools, "key")
        page = page_of(summarise_study(tmp_path))
        assert re.findall(r"<h2>([^<]+)", page) == ["In short", "Best of n", "What was measured"]

    def test_gold_comes_with_its_interval_over_prompts(self, study: StudySummary) -> None:
        page = page_of(study)
        assert study.runs
        for run in study.runs:
            for point in (run.points[0], run.points[-1]):
                assert point.gold is not None
                assert point.gold_low is not None
                assert point.gold_high is not None
                assert point.gold_low < point.gold < point.gold_high
                assert f'"{point.gold_low!r}"' in page
                assert f'"{point.gold_high!r}"' in page


class TestBands:
    def test_the_interval_of_a_mean_is_students(self) -> None:
        low, high = student_interval(np.array([[1.0, 5, math.nan], [2, math.nan, math.nan], [3, math.nan, math.nan]]))
        assert (low[0], high[0]) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
        assert np.isnan([*low[1:], *high[1:]]).all()

    def test_a_weights_mean_is_over_its_runs_as_far_as_all_of_them_go(self, study: StudySummary) -> None:
        runs = [*by_kl_weight(study.runs)[0].runs]
        short = [replace(runs[0], points=runs[0].points[:5]), *runs[1:]]
        band = mean_curve(short, "gold", lambda point: float(point.step))
        assert band is not None
        assert band.x.tolist() == [point.step for point in runs[0].points[:5]]
        by_run = np.array([[point.gold for point in run.points[:5]] for run in runs], dtype=np.float64)
        assert band.mean == pytest.approx(by_run.mean(0))
        assert band.low == pytest.approx(student_interval(by_run)[0])

    def test_a_single_runs_band_is_over_prompts_and_two_runs_have_none(self, study: StudySummary) -> None:
        one = mean_curve(study.runs[:1], "gold", lambda point: float(point.step))
        assert one is not None
        assert one.low == pytest.approx([point.gold_low for point in study.runs[0].points])
        two = mean_curve(study.runs[:2], "gold", lambda point: float(point.step))
        assert two is not None
        assert two.low is None

    def test_where_a_run_goes_back_it_counts_where_it_first_came_by(self, study: StudySummary) -> None:
        points = study.runs[0].points[:4]
        places = dict(zip((point.step for point in points), (0.0, 2.0, 1.0, 3.0), strict=True))
        run = replace(study.runs[0], points=points)
        band = mean_curve([run], "gold", lambda point: places[point.step])
        assert band is not None
        assert band.x.tolist() == [0.0, 2.0, 3.0]
        assert band.mean == pytest.approx([points[0].gold, points[1].gold, points[3].gold])


@pytest.mark.parametrize("draw", [against_steps, against_distance])
def test_runs_of_a_kl_weight_share_a_colour_and_a_key_however_many_they_are(draw: Any, study: StudySummary) -> None:
    many = replace(study, runs=(*study.runs[:3] * 4, study.runs[3]))
    figure = draw(many, LIGHT)
    keys = [text.get_text() for text in figure.legends[0].get_texts()]
    assert keys[0] == "KL weight 0.01, mean of 12 runs"
    assert "KL weight 1" in keys
    above = figure.axes[0]
    thick = [line for line in above.get_lines() if line.get_linewidth() > 2]
    assert [line.get_color() for line in thick] == [LIGHT.colour(0), LIGHT.colour(1)]
    assert {line.get_color() for line in above.get_lines()} == {LIGHT.colour(0), LIGHT.colour(1)}
    assert len(above.collections) == 2


class TestTables:
    """At the 80 columns of a terminal."""

    def lines(self, table: Table) -> list[str]:
        console = Console(width=80, record=True, file=io.StringIO(), highlight=False, soft_wrap=True)
        console.print(table)
        return console.export_text().splitlines()

    def whole(self, lines: list[str], *expected: str) -> bool:
        text = "\n".join(lines)
        return max(map(len, lines)) <= 80 and "…" not in text and all(one in text for one in expected)

    def test_runs_are_whole(self, study: StudySummary) -> None:
        late = [replace(point, step=100 * point.step, proxy=-(point.proxy or 0) - 10) for point in study.runs[0].points]
        onset = study.runs[0].with_gold.onset
        assert onset is not None
        far = replace(onset, bend=replace(onset.bend, step=4321.0), low=3210.0, high=5432.0)
        run = replace(
            study.runs[0],
            info=replace(study.runs[0].info, name="rl-kl0.005-seed10", status="stopped"),
            points=tuple(late),
            best_step=late[3].step,
            with_gold=replace(study.runs[0].with_gold, onset=far),
        )
        lines = self.lines(runs_table(replace(study, runs=(run, *study.runs[1:]))))
        assert self.whole(
            lines, "rl-kl0.005-seed10", "stopped", "4321 [3210–5432]", "games", "alarm", "nats",
            f"{late[0].gold:.2f}→{late[3].gold:.2f}→{late[-1].gold:.2f}",
            f"{late[0].proxy:.2f}→{late[3].proxy:.2f}→{late[-1].proxy:.2f}",
        )  # fmt: skip

    def test_laws_are_whole(self, study: StudySummary) -> None:
        fit = study.runs[0].fit
        assert fit is not None
        assert self.whole(self.lines(laws_table(study)), f"{fit.alpha.value:.3f} [", f"{fit.beta.value:.3f} [")

    def test_a_comparison_has_a_row_before_and_one_after(self, study: StudySummary, tmp_path: Path) -> None:
        after = tmp_path / "overopt-round1"
        for seed in range(3):
            write_run(after, kl=0.01, seed=seed, games=False)
        found = summarise_study(after, against=study.folder).comparison
        assert found is not None
        lines = self.lines(comparison_table(found))
        assert self.whole(lines, "before  yes", "after   no", "best gold", "end gold", "end nats")
        assert sum("rl-kl0.01-seed" in line for line in lines) == 3

    def test_a_long_name_goes_on_in_the_next_line(self, study: StudySummary) -> None:
        name = "a-run-that-somebody-has-named-at-length-[red]"
        run = replace(study.runs[0], info=replace(study.runs[0].info, name=name))
        lines = self.lines(runs_table(replace(study, runs=(run,))))
        assert self.whole(lines, "gold, proxy", "nats")
        assert name in "".join(line.split()[0] for line in lines if line.strip())
