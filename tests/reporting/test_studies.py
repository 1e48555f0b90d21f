"""A campaign's report shows what other commands measured in its folder: over-optimisation, diversity, the gap."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from corpus import Corpus
from corpus.records import Prompt
from miner.measuring.overopt.log import RunLog, read_samples
from miner.measuring.overopt.results import StudySummary
from miner.measuring.overopt.summary import summarise_study
from miner.reporting import write_report
from miner.reporting.measured import shown_by
from miner.reporting.plot_style import LIGHT
from miner.reporting.reading import read_run
from miner.reporting.sections import BUILT_IN, OVEROPT
from miner.reporting.study_figure import proxy_and_gold
from miner.safe_text import visible
from tests.reporting.html import Node, parse
from tests.reporting.samples import HOSTILE, PROMPTS, conversation, tuning, write_run
from tests.reporting.side_reports import diversity_report, gap_report
from tests.reporting.study_samples import TURN, write_log, write_study


def page_of(folder: Path) -> Node:
    return parse(write_report(folder, attribution=None).html.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudySummary]:
    folder = Path(tmp_path_factory.mktemp("run"))
    write_run(folder, rounds=2, findings=8)
    Corpus(folder / "corpus").append(*(Prompt(conversation=conversation(name)) for name in PROMPTS))
    first = write_study(folder / "overopt", pool=True)
    (folder / "overopt" / "overopt.html").touch()
    write_study(folder / "overopt-round1", gaming=0, honest=2)
    return folder, first


@pytest.fixture(scope="module")
def page(campaign: tuple[Path, StudySummary]) -> Node:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "miner.reporting.sections.BUILT_IN",
            tuple(one if one is OVEROPT else replace(one, figures={}) for one in BUILT_IN),
        )
        return page_of(campaign[0])


def rows(page: Node, name: str, **wanted: str) -> list[Node]:
    found = page.all("tr", class_=name)
    return [one for one in found if all(one.attributes[f"data-{key}"] == value for key, value in wanted.items())]


def links(page: Node) -> set[str]:
    return {node.attributes["href"] for node in page.all("a")}


class TestSections:
    def test_every_run_has_its_row_with_the_numbers_of_the_summary(
        self, campaign: tuple[Path, StudySummary], page: Node
    ) -> None:
        shown = rows(page, "policy-run", round="0")
        assert len(shown) == len(campaign[1].runs) == 3
        for node, run in zip(shown, campaign[1].runs, strict=True):
            assert run.info.name in node.text
            assert ("yes" if run.with_gold.games else "no") in [cell.text for cell in node.all("td")]
            expected = [run.best_step, run.points[0].gold, run.points[-1].gold, run.points[-1].proxy]
            if run.with_gold.onset:
                expected += [run.with_gold.onset.bend.step, run.with_gold.onset.low, run.with_gold.onset.high]
            assert set(expected) <= set(node.numbers)

    def test_rounds_stand_side_by_side(self, page: Node) -> None:
        shares = {(one.attributes["data-round"], one.numbers[0], one.numbers[1]) for one in rows(page, "study")}
        assert shares == {("0", 2, 1.0), ("0", 1, 0.0), ("1", 2, 0.0)}

    def test_the_headline_says_that_a_policy_was_seen_gaming(self, page: Node) -> None:
        told = " ".join(next(page.all("p", class_="gaming")).text.split())
        assert "2 of 2 runs with KL weight 0.05 (median onset, of those that game, at step" in told
        assert "0 of 1 runs with KL weight 1; the RM after patch 1 in 0 of 2 runs with KL weight 1." in told

    def test_samples_are_shown_with_their_prompts_and_do_nothing(self, page: Node) -> None:
        section = next(node for node in page.all("section") if node.attributes["id"] == "overopt")
        shown = rows(section, "sample")
        assert [one.text.split("step")[0].strip() for one in shown[:2]] == ["start", "best gold, onset"]
        texts = [div.text for div in section.all("div", class_="mined")]
        assert any(visible(f"{HOSTILE[2]} 0") in text for text in texts)
        assert not [*section.all("script"), *section.all("img", onerror="alert(2)")]
        asked = [node.text for table in section.all("table", class_="samples") for node in table.all("bdi")]
        assert asked
        assert set(asked) <= {conversation(name)[0].content for name in PROMPTS}

    @pytest.mark.usefixtures("no_plots")
    def test_prompts_that_the_corpus_lacks_are_read_from_the_run(self, tmp_path: Path) -> None:
        write_run(tmp_path, rounds=1, findings=0)
        summary = write_study(tmp_path / "overopt", gaming=1, honest=0)
        wanted = {one.prompt_id for one in summary.runs[0].examples}
        asked = [{"prompt_id": one, "prompt": [{"role": "user", "content": HOSTILE[2]}]} for one in wanted]
        lines = "".join(f"{json.dumps(one)}\n" for one in asked)
        (tmp_path / "overopt" / "rl-kl0.05-seed0" / "prompts.jsonl").write_text(lines, encoding="utf-8")
        page = page_of(tmp_path)
        shown = [node.text for table in page.all("table", class_="samples") for node in table.all("bdi")]
        assert shown == [visible(HOSTILE[2], keep_whitespace=True)] * len(wanted)

    def test_onsets_are_said_to_be_of_the_runs_that_game(self, page: Node) -> None:
        assert any(node.text.startswith("Onset, of those that game") for node in page.all("th"))

    def test_best_of_n_names_the_n_whose_gold_is_highest(self, campaign: tuple[Path, StudySummary], page: Node) -> None:
        pool = campaign[1].pool
        assert pool is not None
        best = max(range(len(pool.ns)), key=lambda at: pool.gold[at].value)
        assert 0 < best < len(pool.ns) - 1
        picks = rows(page, "pick")
        assert [int(one.numbers[0]) for one in picks] == [1, pool.ns[best], 64]
        assert pool.gold[best].value in picks[1].numbers

    def test_proxy_and_gold_are_drawn_for_light_and_dark_paper(self, page: Node) -> None:
        drawn = [
            one for one in page.all("picture") if next(one.all("img")).attributes["alt"].startswith("Proxy and gold")
        ]
        assert len(drawn) == 1
        assert next(drawn[0].all("source")).attributes["media"] == "(prefers-color-scheme: dark)"

    def test_only_pages_that_are_there_are_linked(self, page: Node) -> None:
        assert {link for link in links(page) if not link.startswith(("#", "data:"))} == {"overopt/overopt.html"}
        assert "#overopt" in links(page)


@pytest.mark.usefixtures("no_plots")
def test_runs_against_a_patched_rm_are_shown_beside_those_against_the_first(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=2, findings=2)
    write_study(tmp_path / "overopt")
    second = tmp_path / "overopt-round1"
    for seed in range(2):
        write_log(second / f"rl-kl0.05-seed{seed}", kl=0.05, games=False, seed=seed)
    found = summarise_study(second).comparison
    assert found is not None
    assert found.later is not None
    assert found.best_gold is not None
    (shown,) = page_of(tmp_path).all("p", class_="paired")
    expected = (found.later.value, found.later.n, found.best_gold.value, found.best_gold.low, found.best_gold.high)
    assert set(expected) <= set(shown.numbers)
    assert found.later.value == 1.0


def test_without_results_there_is_neither_section_nor_heading_nor_note(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, findings=2)
    (tmp_path / "overopt").mkdir()
    (tmp_path / "gap").mkdir()
    files = write_report(tmp_path, attribution=None)
    page = parse(files.html.read_text(encoding="utf-8"))
    assert {"overopt", "diversity", "gap"}.isdisjoint(node.attributes.get("id") for node in page.all("section"))
    assert {"#overopt", "#diversity", "#gap"}.isdisjoint(links(page))
    assert not list(page.all("p", class_="gaming"))
    assert files.left_out == []


@pytest.mark.usefixtures("no_plots")
def test_a_study_of_best_of_n_alone_has_no_table_of_runs(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, findings=0)
    write_study(tmp_path / "overopt", gaming=0, honest=0, pool=True)
    page = page_of(tmp_path)
    assert len(rows(page, "pick")) == 3
    section = next(node for node in page.all("section") if node.attributes["id"] == "overopt")
    assert len(list(section.all("table"))) == 1


@pytest.mark.usefixtures("no_plots")
def test_a_run_that_gold_cannot_tell_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, findings=0)
    write_log(tmp_path / "overopt" / "rl-kl0.1-seed0", kl=0.1, games=True, seed=0, gold=False)
    write_study(tmp_path / "overopt", gaming=0, honest=0)
    page = page_of(tmp_path)
    assert "cannot be told" in rows(page, "policy-run")[0].text
    assert "gold abstained" in page.text
    assert not list(page.all("p", class_="gaming"))


@pytest.mark.usefixtures("no_plots")
def test_hostile_names_and_reasons_do_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, findings=0)
    write_study(tmp_path / "overopt", gaming=1, honest=0)
    log = RunLog(tmp_path / "overopt" / "rl-kl0.05-seed0")
    log.samples = read_samples(log.folder)
    log.write_info(replace(log.info(), name=HOSTILE[2], status="stopped", reason=HOSTILE[1]))
    write_study(tmp_path / "overopt", gaming=0, honest=0)
    page = page_of(tmp_path)
    assert visible(HOSTILE[2]) in rows(page, "policy-run")[0].text
    assert visible(HOSTILE[1]) in page.text
    assert len(list(page.all("script"))) == 1


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("damaged", ["overopt/summary.json", "diversity/diversity.json", "gap/gap.json", "tuning.json"])
def test_a_damaged_file_is_named_and_the_report_does_without_it(tmp_path: Path, damaged: str) -> None:
    write_run(tmp_path, rounds=1, findings=2)
    write_study(tmp_path / "overopt", gaming=1, honest=0)
    diversity_report().write(tmp_path / "diversity")
    gap_report().write(tmp_path / "gap")
    tuning().write(tmp_path)
    path = tmp_path / damaged
    path.write_bytes(path.read_bytes()[:-40])
    files = write_report(tmp_path, attribution=None)
    page = parse(files.html.read_text(encoding="utf-8"))
    assert [line for line in files.left_out if str(path) in line] == files.left_out != []
    assert str(path) in next(node.text for node in page.all("section") if node.attributes["id"] == "limits")
    lost = Path(damaged).parts[0].removesuffix(".json")
    kept = {node.attributes["id"] for node in page.all("section") if "id" in node.attributes}
    assert kept & {"overopt", "diversity", "gap", "tuning"} == {"overopt", "diversity", "gap", "tuning"} - {lost}


@pytest.mark.usefixtures("no_plots")
def test_what_is_no_file_is_left_out_too(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, findings=0)
    (tmp_path / "gap" / "gap.json").mkdir(parents=True)
    assert "cannot read" in write_report(tmp_path, attribution=None).left_out[0]


@pytest.mark.usefixtures("no_plots")
def test_a_study_that_was_cut_short_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, findings=0)
    write_log(tmp_path / "overopt" / "rl-kl0.1-seed0", kl=0.1, games=True, seed=0)
    files = write_report(tmp_path, attribution=None)
    assert "the study has not ended" in files.left_out[0]
    assert 'id="overopt"' not in files.html.read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_plots")
def test_a_measurement_in_the_folder_of_its_name_is_shown_and_linked(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, findings=0)
    diversity_report().write(tmp_path / "diversity")
    gap_report().write(tmp_path / "gap")
    for name in ("diversity", "gap"):
        (tmp_path / name / f"{name}.html").touch()
    page = page_of(tmp_path)
    assert {"#diversity", "#gap", "diversity/diversity.html", "gap/gap.html"} <= links(page)
    assert {"statistic", "fact"} <= {node.attributes.get("class") for node in page.all("tr")}


@pytest.mark.parametrize("newer", ["gap", "."])
def test_of_two_measurements_of_a_name_the_newer_is_shown(tmp_path: Path, newer: str) -> None:
    write_run(tmp_path, rounds=1, findings=0)
    for place in ("gap", "."):
        replace(gap_report(), notes=[f"lies in {place}"]).write(tmp_path / place)
        os.utime(tmp_path / place / "gap.json", (100, 200 if place == newer else 100))
    report = read_run(tmp_path).measurements.gap
    assert report is not None
    assert report.notes == [f"lies in {newer}"]


def test_curves_and_onsets_are_drawn_one_column_a_round(campaign: tuple[Path, StudySummary]) -> None:
    figure = proxy_and_gold(read_run(campaign[0]).measurements.studies, LIGHT)
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == [
        "RM as given (3 runs)",
        "RM after patch 1 (2 runs)",
    ]
    proxy = {tuple(np.asarray(line.get_ydata())) for line in figure.axes[0].get_lines()}
    assert all(tuple(point.proxy for point in run.points) in proxy for run in campaign[1].runs)
    onsets = [run.with_gold.onset.bend.step for run in campaign[1].runs if run.with_gold.onset]
    bars = [one for one in figure.axes[2].containers if isinstance(one, ErrorbarContainer)]
    assert [np.asarray(one.lines[0].get_xdata())[0] for one in bars] == onsets
    assert all(abs(step - TURN) <= 4 for step in onsets)
    keys = [text.get_text() for text in figure.legends[0].get_texts()]
    assert keys == ["games", "does not game", "what a win has to reach", "onset, 95 % interval"]


def test_the_report_loads_nothing_that_trains() -> None:
    code = "import miner.reporting, sys; print(list(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(done.stdout.splitlines()[-1])
    assert "miner.reporting.writing" in loaded
    overopt = "miner.measuring.overopt."
    assert "trl" not in loaded
    records = {"bands", "by_kl_weight", "eval_prompts", "results", "settings"}
    assert {name.removeprefix(overopt) for name in loaded if name.startswith(overopt)} == records


def test_the_campaign_that_shows_a_measurement_is_found(tmp_path: Path) -> None:
    (tmp_path / "campaign.toml").touch()
    assert shown_by(tmp_path / "gap" / "gap.html") == tmp_path
    assert shown_by(tmp_path / "gap.html") == tmp_path
    assert shown_by(tmp_path / "elsewhere" / "gap.html") is None
