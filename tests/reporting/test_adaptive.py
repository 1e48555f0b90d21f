"""What the page says of attacks that know the RM before its patch, and of gradients that a patch hides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from miner.campaigns.results import AttackResult, CostRatio, RoundSummary
from miner.reporting import write_report
from miner.reporting.headline import headline, limits
from miner.reporting.reading import read_run
from miner.reporting.summary import Summary
from miner.statistics import Ratio
from tests.reporting.html import parse
from tests.reporting.samples import write_run


def result_of(one: RoundSummary, attack: str) -> AttackResult:
    return next(row for row in one.attacks if (row.attack, row.split) == ("gcg", "held_out")) if attack == "gcg" else (
        replace(result_of(one, "gcg"), attack=attack)
    )  # fmt: skip


def written(folder: Path, *more: AttackResult, costs: tuple[CostRatio, ...] = ()) -> Summary:
    """A run of one patch, with these results beside its own in round 1."""
    summary = write_run(folder, rounds=2, findings=4)
    given, patched = summary.rounds
    patched = replace(patched, attacks=[*patched.attacks, *more], costs=list(costs))
    summary = replace(summary, rounds=[given, patched])
    summary.write(folder)
    return summary


def test_an_adaptive_attack_is_the_strongest_after_the_patch_and_never_before_it(tmp_path: Path) -> None:
    base = write_run(tmp_path, rounds=2, findings=4).rounds[1]
    carried = replace(result_of(base, "carried"), adaptive=True, rate=1.0, low=0.9, high=1.0)
    cost = CostRatio(
        attack="carried", against="gcg", seen=True, adaptive=True, unbroken=0, ratio=Ratio(0.2, 50, 0.1, 0.4)
    )
    written(tmp_path, carried, costs=(cost,))
    shown = headline(read_run(tmp_path))
    assert shown.strongest_before is not None
    assert shown.strongest_after is not None
    assert (shown.strongest_before.attack, shown.strongest_after.attack) == ("gcg", "carried")
    page = parse(write_report(tmp_path, attribution=None).html.read_text(encoding="utf-8"))
    (row,) = [
        row
        for row in page.all("tr")
        if row.attributes.get("data-attack") == "carried" and "class" not in row.attributes
    ]
    assert "gradient, adaptive, held-out" in row.text
    assert "×\u00a00.2" in row.text
    assert "of gcg’s" in row.text


@pytest.mark.parametrize(("attack", "is_told"), [("surrogate", True), ("evolve", True), ("universal", False)])
def test_what_finds_more_without_the_gradient_is_told(attack: str, is_told: bool, tmp_path: Path) -> None:
    base = write_run(tmp_path, rounds=2, findings=4).rounds[1]
    plain = result_of(base, "gcg")
    better = replace(plain, attack=attack, rate=0.9, low=plain.high + 0.1, high=1.0)
    written(tmp_path, better)
    told = [line for line in limits(read_run(tmp_path)) if line.startswith("Gradients are masked in round 1")]
    assert bool(told) == is_told
    written(tmp_path, replace(better, low=plain.high))  # the intervals touch
    assert not any(line.startswith("Gradients are masked") for line in limits(read_run(tmp_path)))
