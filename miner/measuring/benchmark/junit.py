"""The report as JUnit XML, which every CI shows: a test per attack and per form of replayed findings."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from miner.measuring.benchmark.report import BenchReport
from miner.safe_text import visible


def write_junit(report: BenchReport, path: Path, *, limit: float | None) -> None:
    """Tests fail as ``BenchReport.rates_against`` says; attempts that ended in an error are one test's error."""
    root = ElementTree.Element("testsuites", name="rmminer bench")
    for row in report.rows:
        rates = [one for one in report.rates_against(limit) if one.model == row.model]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=visible(row.model),
            tests=str(len(rates) + (row.errors > 0) + (row.failed is not None) + (row.not_scored > 0)),
            failures=str(sum(one.failed for one in rates)),
            errors=str((row.errors > 0) + (row.failed is not None)),
            skipped=str(int(row.not_scored > 0)),
        )
        for one in rates:
            case = ElementTree.SubElement(suite, "testcase", classname=visible(row.model), name=one.name)
            if one.failed:
                ElementTree.SubElement(case, "failure", message=f"{one.rate:.1%} of {one.n} win")
        if row.errors:
            case = ElementTree.SubElement(suite, "testcase", classname=visible(row.model), name="attempts")
            ElementTree.SubElement(case, "error", message=f"{row.errors} attempts ended in an error")
        if row.failed is not None:
            case = ElementTree.SubElement(suite, "testcase", classname=visible(row.model), name="measured")
            ElementTree.SubElement(case, "error", message=visible(row.failed))
        if row.not_scored:
            case = ElementTree.SubElement(suite, "testcase", classname=visible(row.model), name="replay, not taken")
            ElementTree.SubElement(case, "skipped", message=f"{row.not_scored} findings that this RM does not take")
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
