from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miner.measuring.triage.result import Auroc, RoundDistance, TriageResult
from miner.reporting import write_report
from miner.reporting.figures import accuracy, margins, survival
from miner.reporting.plot_style import DARK, LIGHT, png
from miner.reporting.reading import Run, read_run
from miner.reporting.sections import ACCURACY, ATTACKS, CHECKS, TRANSFER, TRIAGE, TUNING
from tests.reporting.html import parse
from tests.reporting.samples import BUDGET, tuning, write_run

DRAWN = {name: section for section in (ATTACKS, ACCURACY, TRANSFER, CHECKS, TRIAGE, TUNING) for name in section.figures}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    tuning().write(folder)
    triaged().write(folder)
    return read_run(folder)


def triaged() -> TriageResult:
    """A triage of one round that only measured distances."""
    clean, findings = (3.0, 4.0, 5.0, 6.0), (4.5, 7.0)
    placed = RoundDistance(
        round=0, n_fit=40, shrinkage=0.1, clean=clean, findings=findings, percentiles=(50.0, 100.0),
        auroc=Auroc(value=0.75, n_positive=2, n_negative=4, low=0.2, high=1.0),
    )  # fmt: skip
    return TriageResult(
        n=2, of=2, shrink_factor=None, one_minimal=None, queries={}, queries_per_finding=0.0, max_queries=100,
        code="test", groups=(), distances=(placed,),
    )  # fmt: skip


def test_every_plot_is_a_png_file_and_on_the_page(run: Run) -> None:
    files = write_report(run.folder, attribution=None)
    assert list(files.plots) == list(DRAWN)
    page = parse(files.html.read_text(encoding="utf-8"))
    embedded = {base64.b64decode(node.attributes["src"].partition(",")[2]) for node in page.all("img")}
    for path in files.plots.values():
        with Image.open(path) as image:
            image.verify()
            assert image.format == "PNG"
        assert path.read_bytes() in embedded
    assert all(node.attributes["alt"] for node in page.all("img"))


def test_plot_that_this_run_no_longer_has_is_removed(tmp_path: Path) -> None:
    write_run(tmp_path, findings=3, rounds=2)
    assert write_report(tmp_path, attribution=None).plots["transfer"].exists()
    write_run(tmp_path, findings=0, rounds=0)
    files = write_report(tmp_path, attribution=None)
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["checks.png"]
    assert list(files.plots) == ["checks"]


def test_same_run_gives_the_same_png(run: Run) -> None:
    first, again = accuracy(run, LIGHT), accuracy(run, LIGHT)
    assert first is not None
    assert again is not None
    assert png(first) == png(again)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_axes_are_labelled_and_legends_give_n(run: Run, name: str, theme: object) -> None:
    section = DRAWN[name]
    figure = section.figures[name](section.read(run), theme)  # type: ignore[arg-type]
    assert figure is not None
    for axes in figure.axes:
        assert not axes.axison or axes.get_xlabel() or axes.get_ylabel() or name == "margins"
    legends = [legend for axes in figure.axes if (legend := axes.get_legend())]
    for legend in legends:
        assert any("n = " in text.get_text() for text in legend.get_texts())
    assert legends or name in ("transfer", "checks", "survival")
    if name == "survival":
        assert all("n = " in axes.get_ylabel() for axes in figure.axes if axes.axison)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == [
            "RM as given", "RM after patch 1", "RM after patch 2",
        ]  # fmt: skip


def test_survival_curves_are_drawn_with_their_intervals(run: Run) -> None:
    figure = survival(run, LIGHT)
    assert figure is not None
    drawn = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}
    for result in run.rounds[0].attacks:
        axes = drawn[f"{result.attack}, {result.split.replace('_', '-')}, {BUDGET} queries"]
        line = axes.get_lines()[0]
        np.testing.assert_array_equal(line.get_xdata(), result.survival.times)
        np.testing.assert_array_equal(line.get_ydata(), result.survival.survival)
        band = np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1]
        assert {*result.survival.low, *result.survival.high} <= set(band)


def test_rounds_whose_clean_rewards_do_not_vary_have_no_margins_to_draw(run: Run) -> None:
    flat = [replace(one, clean_std=0.0) for one in run.rounds[:1]] + run.rounds[1:]
    endless = [replace(found, margin=float("inf")) if found.round == 1 else found for found in run.findings]
    changed = replace(run, summary=replace(run.summary, rounds=flat), findings=endless)
    figure = margins(changed, LIGHT)
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["RM after patch 2"]


def test_margins_of_references_are_in_the_units_of_the_findings(run: Run) -> None:
    figure = margins(run, LIGHT)
    assert figure is not None
    for axes, one in zip(figure.axes, run.rounds, strict=True):
        mine = [found for found in run.findings if found.round == one.round]
        rewards = [found.reference_reward for found in mine if found.reference_reward is not None]
        beaten = [(reward - one.clean_mean) / one.clean_std for reward in rewards]
        drawn = [
            bar.get_center()[0] for bars in axes.containers for bar in bars for _ in range(round(bar.get_height()))
        ]  # one bin's middle a text: references first, then findings
        width = axes.containers[0][0].get_width()
        np.testing.assert_allclose(drawn, sorted(beaten) + sorted(found.margin for found in mine), atol=width)
        threshold = np.asarray(axes.get_lines()[0].get_xdata())
        np.testing.assert_allclose(threshold, (one.threshold - one.clean_mean) / one.clean_std)
