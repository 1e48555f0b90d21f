"""How long findings are: a section of the report."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from miner.reporting.plot_style import Theme, new_figure, styled
from miner.reporting.reading import Run
from miner.reporting.sections import ReportSection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Lengths = dict[str, list[int]]


def read_lengths(run: Run) -> Lengths | None:
    """Words of each attack's findings; None where there are no findings."""
    lengths: Lengths = defaultdict(list)
    for finding in run.findings:
        lengths[finding.attack].append(len(finding.response.split()))
    return dict(lengths) or None


def by_attack(lengths: Lengths, theme: Theme) -> Figure:
    figure = new_figure(theme, 2.5)
    axes = styled(figure.subplots(), theme, x="words", y="findings")
    axes.hist(list(lengths.values()), label=[f"{name} (n = {len(of)})" for name, of in lengths.items()])
    return figure


LENGTHS = ReportSection(
    name="lengths",
    title="Lengths",
    read=read_lengths,
    template="lengths.html.jinja",
    figures={"lengths": by_attack},
    folder=Path(__file__).parent,
)
