"""How far findings lie from clean text in the RM's last layer, one panel a round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from miner.measuring.triage.result import TriageResult
from miner.reporting import plot_style as style
from miner.reporting.plot_style import Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 32


def distances(triage: TriageResult, theme: Theme) -> Figure | None:
    """Mahalanobis distances of a round's findings beside those of clean references, as shares of each."""
    placed = triage.distances
    if not placed:
        return None
    figure = style.new_figure(theme, 0.7 + 1.7 * len(placed))
    panels = figure.subplots(len(placed), 1, squeeze=False)[:, 0]
    for axes, one in zip(panels, placed, strict=True):
        last = one is placed[-1]
        style.styled(axes, theme, x="distance to the RM's clean references" if last else "", y="share of texts (%)")
        style.titled(axes, theme, style.round_name(one.round))
        edges = np.linspace(min(*one.clean, *one.findings), max(*one.clean, *one.findings), BINS + 1).tolist()
        for values, colour, name, hatch in (
            (one.clean, 1, "clean references, not in the fit", ""),
            (one.findings, 0, "findings", "///"),
        ):
            axes.hist(
                values,
                edges,
                weights=np.full(len(values), 100 / len(values)),
                color=theme.colour(colour),
                alpha=0.75,
                hatch=hatch,
                edgecolor=theme.background,
                label=f"{name} (n = {len(values)})",
            )
        style.legend_beside(axes, theme)
    return figure
