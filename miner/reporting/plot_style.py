"""How figures look: colours that colour-blind readers tell apart (Okabe and Ito 2008), on light or dark background."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from miner.safe_text import visible
from miner.statistics import Floats, WithInterval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 9.6
DOTS_PER_INCH = 150
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Colours of one theme; ``series`` is used in turn, so that a round or an attack keeps its colour."""

    background: str
    text: str
    grid: str
    accent: str
    series: tuple[str, ...]

    def colour(self, index: int) -> str:
        return self.series[index % len(self.series)]


LIGHT = Theme(
    background="#ffffff",
    text="#1f2328",
    grid="#d0d7de",
    accent="#8a2b06",
    series=("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d"),
)
DARK = Theme(
    background="#161b22",
    text="#e6edf3",
    grid="#3d444d",
    accent="#ffb38a",
    series=("#ff8f4a", "#56b4e9", "#2fc79a", "#e39cc5", "#f0c04c", "#8fb8ff", "#b8c0c8"),
)


def new_figure(theme: Theme, height_inches: float) -> Figure:
    """An empty figure that belongs to no pyplot state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_INCHES, height_inches), facecolor=theme.background, layout="constrained")


def styled(axes: Axes, theme: Theme, *, x: str, y: str, grid: str = "y") -> Axes:
    """Axes with their labels, in the theme's colours."""
    axes.set_facecolor(theme.background)
    axes.set_xlabel(x, color=theme.text, fontsize=9)
    axes.set_ylabel(y, color=theme.text, fontsize=9)
    axes.tick_params(colors=theme.text, labelsize=8.5, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)
    if grid in ("x", "y"):
        axes.grid(axis="x" if grid == "x" else "y", color=theme.grid, linewidth=0.6, alpha=0.6)
        axes.set_axisbelow(True)
    return axes


def band(axes: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str) -> None:
    """The interval of a curve, behind it."""
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def bars(found: Sequence[WithInterval]) -> Floats:
    """How far intervals reach below and above their values, as ``errorbar`` takes them: (2, n)."""
    return np.array([[one.value - one.low for one in found], [one.high - one.value for one in found]]).clip(0)


def titled(axes: Axes, theme: Theme, text: str) -> None:
    axes.set_title(text, loc="left", color=theme.text, fontsize=9.5, fontweight="bold")


def legend(axes: Axes, theme: Theme) -> None:
    """The key inside the axes, where it hides least."""
    axes.legend(
        loc="best", fontsize=8, labelcolor=theme.text, facecolor=theme.background, edgecolor=theme.grid, framealpha=0.85
    )


def legend_beside(axes: Axes, theme: Theme) -> None:
    """The key right of the axes, where it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8.5, labelcolor=theme.text, frameon=False)


def shared_legend(figure: Figure, panels: Sequence[Axes], theme: Theme) -> None:
    """One key for all panels, above them: every label once."""
    keys = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(keys.values()), list(keys), loc="outside upper left", ncols=4, fontsize=8.5, labelcolor=theme.text,
        frameon=False,
    )  # fmt: skip


def whole_rounds(axes: Axes, numbers: list[int]) -> None:
    """One tick per round; round 0 is the RM as given."""
    axes.set_xticks(numbers, [round_tick(number) for number in numbers])
    axes.set_xlim(min(numbers) - 0.4, max(numbers) + 0.4)


def round_name(number: int) -> str:
    return "RM as given" if number == 0 else f"RM after patch {number}"


def round_tick(number: int) -> str:
    return "as given" if number == 0 else f"patch {number}"


def literal(text: str, limit: int) -> str:
    """A label that every font has, no longer than fits, and no formula to matplotlib."""
    shown = visible(text).encode("ascii", "backslashreplace").decode()
    return (shown if len(shown) <= limit else f"{shown[: limit - 3]}...").replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", dpi=DOTS_PER_INCH, facecolor=figure.get_facecolor(), metadata={"Software": None}
    )
    return buffer.getvalue()
