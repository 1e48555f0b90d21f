"""Sections are rows of a registry: one that cannot be read is named, and nobody's replaces ours."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from miner.errors import ConfigError, DataError
from miner.reporting import write_report
from miner.reporting.reading import Run
from miner.reporting.sections import BUILT_IN, GROUP, ReportSection, known_sections
from tests.reporting.html import parse
from tests.reporting.samples import write_run


def damaged(run: Run) -> None:
    raise DataError(f"{run.folder / 'notes.json'} is not readable")


THEIRS = ReportSection(name="theirs", title="Theirs", read=damaged, template="checks.html.jinja")
EMPTY = ReportSection(name="empty", title="Empty", read=lambda _run: None, template="no such template")
SAME_FIGURE = ReportSection(
    name="same", title="Same", read=lambda _run: None, template="", figures={"margins": lambda _shown, _ink: None}
)


def registered(monkeypatch: pytest.MonkeyPatch, **sections: str) -> None:
    entries = EntryPoints([EntryPoint(name, f"{__name__}:{place}", GROUP) for name, place in sections.items()])
    monkeypatch.setattr("miner.reporting.sections.entry_points", lambda group: entries.select(group=group))


@pytest.mark.usefixtures("no_plots")
def test_a_section_that_cannot_be_read_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, theirs="THEIRS", empty="EMPTY")
    write_run(tmp_path, findings=1, rounds=1)
    files = write_report(tmp_path, attribution=None)
    page = parse(files.html.read_text(encoding="utf-8"))
    assert any("notes.json is not readable" in line for line in files.left_out)
    assert any("notes.json is not readable" in node.text for node in page.all("li"))
    assert not {"#theirs", "#empty"} & {node.attributes["href"] for node in page.all("a")}


def test_ours_cannot_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, checks="THEIRS", findings="THEIRS")
    assert tuple(known_sections().values()) == BUILT_IN


def test_two_sections_cannot_draw_one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, same="SAME_FIGURE")
    with pytest.raises(ConfigError, match="'attacks' and 'same' both draw 'margins'"):
        known_sections()


def test_every_section_stands_on_the_page_under_its_name(tmp_path: Path, no_plots: None) -> None:
    del no_plots
    write_run(tmp_path, findings=2, rounds=2)
    page = parse(write_report(tmp_path, attribution=None).html.read_text(encoding="utf-8"))
    linked = [node.attributes["href"].removeprefix("#") for node in page.all("a")][:8]
    assert linked == ["short", "limits", "attacks", "accuracy", "transfer", "checks", "findings", "run"]
    assert set(linked) <= {node.attributes.get("id") for node in page.all("section")}
