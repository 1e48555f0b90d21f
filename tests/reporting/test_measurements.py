"""A run that measured diversity and the gap has both in its report."""

from __future__ import annotations

from pathlib import Path

import pytest

from miner.measuring.gap.report import GapReport
from miner.reporting import write_report
from miner.safe_text import visible
from tests.reporting.html import parse
from tests.reporting.samples import write_run
from tests.reporting.side_reports import FACTS, HOSTILE, diversity_report, gap_report, selection


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = Path(tmp_path_factory.mktemp("run"))
    write_run(folder, rounds=1, findings=2)
    diversity_report().write(folder)
    gap_report().write(folder)
    return write_report(folder, attribution=None).html.read_text(encoding="utf-8")


def test_the_report_has_both_sections_with_their_numbers(page: str) -> None:
    tree = parse(page)
    links = [node.attributes.get("href") for node in tree.all("a")]
    assert "#diversity" in links
    assert "#gap" in links
    rows = [node for node in tree.all("tr") if node.attributes.get("class") == "statistic"]
    assert [row.attributes["data-name"] for row in rows] == ["entropy", "cosine", "kl", "gold"]
    assert "−0.200" in rows[1].text
    assert len([node for node in tree.all("tr") if node.attributes.get("class") == "attractor"]) == 2
    for name, n in (("point", 3), ("fact", 1), ("swap", 1)):
        assert len([node for node in tree.all("tr") if node.attributes.get("class") == name]) == n
    assert "makes it worse" in page


def test_mined_text_in_them_is_shown_and_does_nothing(page: str) -> None:
    tree = parse(page)
    swap = next(node for node in tree.all("tr") if node.attributes.get("class") == "swap")
    assert visible(HOSTILE) in swap.text
    assert not [*swap.all("script"), *swap.all("img"), *swap.all("style")]


def test_a_series_has_a_row_and_a_curve_for_every_policy_and_says_where_the_gap_is_negative(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, findings=2)
    labels = ("step 0", HOSTILE, "step 20")
    GapReport(
        selections=[selection(label, choice=label != "step 20") for label in labels],
        facts=[], findings=0, fact_attempts=0, settings={"gold": "overlap"}, notes=[], **FACTS,
    ).write(tmp_path)  # fmt: skip
    tree = parse(write_report(tmp_path, attribution=None).html.read_text(encoding="utf-8"))
    rows = [node for node in tree.all("tr") if node.attributes.get("class") == "selection"]
    assert [visible(label) in row.text for label, row in zip(labels, rows, strict=True)] == [True] * 3
    assert ["nothing to choose" in row.text for row in rows] == [False, False, True]
    assert not [*rows[1].all("script"), *rows[1].all("img"), *rows[1].all("style")]
    assert len([node for node in tree.all("tr") if node.attributes.get("class") == "point"]) == 9
    lead = next(node for node in tree.all("p") if "less gold than a random sample at" in node.text)
    assert visible(HOSTILE) in lead.text
    assert "step 20" not in lead.text, "nothing to choose is not negative"
    assert any(node.attributes.get("aria-label") == "Gap along the policies" for node in tree.all("figure"))


def test_a_run_without_them_says_nothing_of_them(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, findings=2)
    page = write_report(tmp_path, attribution=None).html.read_text(encoding="utf-8")
    assert 'id="diversity"' not in page
    assert 'id="gap"' not in page
