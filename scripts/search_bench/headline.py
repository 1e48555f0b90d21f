"""The benchmark's figures beside their bars, as lines of text and as plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

Results = dict[str, Any]


def headline(results: Results) -> list[str]:
    """One line a figure; what was not measured is not listed."""
    lines: dict[str, Callable[[Results], Iterator[str]]] = {
        "rates": _rates,
        "finds causal": partial(_finds, name="docs causal"),
        "finds encoder": partial(_finds, name="docs encoder"),
        "ablations": _ablations,
        "momentum": _ablations,
        "tuned alike": lambda part: _ablations(part["held out"]),
        "universal": _universal,
        "schedule": _schedule,
        "limit": _limit,
    }
    return [line for part, write in lines.items() if part in results for line in write(results[part])]


def _rates(part: Results) -> Iterator[str]:
    for title, row in _rows(part):
        shipped, bar = row["ours_over_peer_as_shipped"], 3.5 if "causal" in title else 2.0
        met = _met(shipped["low"] >= bar)
        yield f"{title}: {_ratio(shipped)} × the peer as it ships ({row['our_dtype']} to fp32); bar: low ≥ {bar} {met}"
        for dtype, ratio in row["same_dtype"].items():
            bar = 1.4 if "causal" in title else 2.0
            yield f"{title}: {_ratio(ratio)} × the peer, both {dtype}; bar: low ≥ {bar} {_met(ratio['low'] >= bar)}"
        rates = {who: f"{rate['median']:.0f}" for who, rate in row["candidates_per_second"].items()}
        yield f"  candidates/s, median: {rates}"


def _finds(row: Results, name: str) -> Iterator[str]:
    medians = {tool: one["median_s"]["value"] for tool, one in row["tools"].items()}
    for tool, one in row["tools"].items():
        solved, median = one["solved"], one["median_s"]
        shown = "over the limit" if median["value"] is None else f"{median['value']:.2f} s"
        yield (
            f"{name}, {tool}: solved {solved['value']:.0%} [{solved['low']:.0%}–{solved['high']:.0%}] "
            f"of {solved['n']} in {row['limit_s']:.0f} s, median {shown}, all in {one['whole_s']:.0f} s"
        )
    share = 1 / 5 if "causal" in name else 1 / 3
    peers = [median or row["limit_s"] for tool, median in medians.items() if not tool.startswith("ours")]
    for tool in ("ours", "ours, wider steps"):
        own = medians[tool] or row["limit_s"]
        met = _met(own <= share * min(peers))
        yield f"{name}: the median of {tool} is {own / min(peers):.2f} of the best peer's; bar ≤ {share:.2f} {met}"


def _ablations(part: Results) -> Iterator[str]:
    for title, row in _rows(part):
        ratio, queries = row["cost_over_gcg"], row["queries"]["value"]
        median = "over budget" if queries is None else f"{queries:.0f}"
        yield (
            f"{title}: found {row['found']['value']:.0%}, median {median} queries, mean {row['mean_queries']:.0f} "
            f"queries and {row['mean_gflops']:.0f} GFLOP, cost {_ratio(ratio)} × gcg's"
        )
    plain, own = part.get("plain GCG (published defaults)"), part["gcg"]
    if plain:
        queries = own["mean_queries"] / plain["mean_queries"]
        flops = own["mean_gflops"] / plain["mean_gflops"]
        met = _met(max(queries, flops) <= 0.5)
        yield f"gcg over plain GCG: queries {queries:.2f}, FLOPs {flops:.2f} (means); bar ≤ 0.5 {met}"


def _universal(part: Results) -> Iterator[str]:
    for row in part["runs"]:
        if "beats_reference" in row:
            beats, wins = row["beats_reference"], row["wins"]
            yield (
                f"universal, seed {row['seed']}: beats {beats['value']:.0%} [{beats['low']:.0%}–{beats['high']:.0%}] "
                f"of {beats['n']} held-out references, wins on {wins['value']:.0%}; bar 95 % "
                f"{_met(beats['value'] >= 0.95)}"
            )
        else:
            yield f"universal, seed {row['seed']}: found nothing"


def _schedule(part: Results) -> Iterator[str]:
    for what in ("queries", "gflops"):
        cost = {title: row[f"{what}_per_distinct"]["median"] for title, row in _rows(part)}
        best = min(value for title, value in cost.items() if title.endswith("alone"))
        uniform, hindsight = cost["thompson"] / cost["uniform"], cost["thompson"] / best
        yield (
            f"scheduler, {what} per distinct finding: {cost['thompson']:.0f}; {uniform:.2f} of uniform (bar ≤ 0.7 "
            f"{_met(uniform <= 0.7)}), {hindsight:.2f} of the best attack alone (bar ≤ 1.1 {_met(hindsight <= 1.1)})"
        )
        yield f"  all: { {title: round(value) for title, value in cost.items()} }"


def _limit(part: Results) -> Iterator[str]:
    for title, row in _rows(part):
        share = row["share_of_matrix_rate"]
        yield (
            f"{title}: {share['median']:.2f} [{share['min']:.2f}–{share['max']:.2f}] of the matrix rate "
            f"{row['matrix_gflops_per_second']:.0f} GFLOP/s, {row['unique_texts_per_second']['median']:.0f} texts/s; "
            f"bar 0.6 {_met(row['met'])}"
        )


def _rows(part: Results) -> Iterator[tuple[str, Results]]:
    return ((title, row) for title, row in part.items() if title != "part_seconds")


def _ratio(ratio: dict[str, float]) -> str:
    return f"{ratio['value']:.2f} [{ratio['low']:.2f}–{ratio['high']:.2f}]"


def _met(met: bool) -> str:
    return "(met)" if met else "(missed)"


def plot(results: Results, folder: Path) -> None:
    """``search_growth.png`` and ``search_finds.png``, as far as they were measured."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    if "growth" in results:
        axes_of = [axis for axis in results["growth"] if axis not in ("rm", "part_seconds")]
        figure, panels = plt.subplots(2, len(axes_of), figsize=(11, 5), layout="constrained", sharex="col")
        for column, axis in enumerate(axes_of):
            rows = results["growth"][axis]
            at = [row["at"] for row in rows]
            for line, (key, title) in enumerate(
                (("seconds_per_prompt", "seconds a prompt"), ("memory_rise_mb", "memory, MB"))
            ):
                panel = panels[line, column]
                panel.plot(at, [row[key] for row in rows], marker="o", color="#2b6cb0")
                panel.set(ylim=(0, None), title=title if column == 0 else "", xlabel=axis if line else "")
                panel.set_xscale("log", base=2)
                panel.set_xticks(at, [str(x) for x in at])
                panel.grid(alpha=0.25)
        figure.suptitle("Six steps of 64 candidates")
        figure.savefig(folder / "search_growth.png", dpi=150)
        plt.close(figure)
    rows = [(name, results[name]) for name in ("finds causal", "finds encoder") if name in results]
    if rows:
        figure, panels = plt.subplots(1, len(rows), figsize=(11, 4), layout="constrained", sharey=True, squeeze=False)
        for panel, (name, row) in zip(panels[0], rows, strict=True):
            for tool, seconds in row["seconds"].items():
                known = sorted(t for t in seconds if t is not None)
                share = [(n + 1) / len(seconds) for n in range(len(known))]
                panel.step(
                    [0.01, *known, row["limit_s"]], [0, *share, share[-1] if share else 0], where="post", label=tool
                )
            panel.set(xscale="log", xlabel="seconds", title=name, ylim=(0, 1.02), xlim=(0.05, row["limit_s"]))
            panel.grid(alpha=0.25)
            panel.legend(loc="upper left", fontsize=8)
        panels[0][0].set_ylabel("share of prompts with a win")
        figure.savefig(folder / "search_finds.png", dpi=150)
        plt.close(figure)
