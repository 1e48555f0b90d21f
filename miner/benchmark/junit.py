"""The report as JUnit XML, which every CI shows: a test per attack and per form of replayed findings."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from miner.benchmark.report import BenchReport
from miner.safe_text import visible


def write_junit(report: BenchReport, path: Path, *, limit: float) -> None:
    """A test fails whose rate is over ``limit``."""
    root = ElementTree.Element("testsuites", name="rmminer bench")
    for row in report.rows:
        rates = {f"attack {one.attack}": (one.rate, one.n) for one in row.attacks}
        rates |= {f"replay {r.form}": (r.still_winning.value, r.still_winning.n) for r in row.replayed}
        failures = sum(value > limit for value, _ in rates.values())
        suite = ElementTree.SubElement(
            root, "testsuite", name=visible(row.model), tests=str(len(rates)), failures=str(failures)
        )
        for name, (value, n) in rates.items():
            case = ElementTree.SubElement(suite, "testcase", classname=visible(row.model), name=name)
            if value > limit:
                text = f"{value:.1%} of {n} win; the limit is {limit:.1%}"
                ElementTree.SubElement(case, "failure", message=text)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
