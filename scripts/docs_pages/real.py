"""Tables of ``scripts/bench_real``: reward models of real preference pairs, attacked and patched."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.docs_pages.markdown import table
from scripts.docs_pages.measured import Json, counted, interval, points, rate, read_results

NAMES = {"minilm": "MiniLM (encoder)", "smollm2": "SmolLM2 (causal)"}


def accuracy() -> str:
    """Who prefers the annotated answer on instructions that none was trained on."""
    part = read_results("real.json")["accuracy"]
    rows = []
    for name, share in part["accuracy"].items():
        gains = [part["gain"].get(f"{name} over {other}") for other in ("length", "bag of words")]
        rows.append((NAMES.get(name, name), f"{rate(share)}, n {share['n']}", *map(points, gains)))
    return table(("reward model", "prefers the annotated answer", "over length", "over a bag of words"), rows)


def attacks() -> str:
    """Held-out instructions with a certified finding, before and after one patch."""
    stored = read_results("real.json")
    titles = ("reward model", "attack, budget", "as given", "median queries", "after the patch", "median queries")
    return table(titles, [row for name in NAMES if name in stored for row in _attack_rows(name, stored[name])])


def _attack_rows(name: str, part: Json) -> Iterator[tuple[str, ...]]:
    rounds = [{row["attack"]: row for row in one["attacks"]} for one in part["rounds"]]
    names = list(dict.fromkeys(attack for one in rounds for attack in one))
    for attack in sorted(names, key=lambda one: -max(row[one]["rate"] for row in rounds if one in row)):
        cells = [cell for at in range(2) for cell in _cells(rounds[at].get(attack) if at < len(rounds) else None)]
        budget = next(row[attack]["budget"] for row in rounds if attack in row)
        yield (NAMES[name], f"`{attack}`, {budget:,}", *cells)
    accuracies = [(rate(one["clean_accuracy"]) if one["clean_accuracy"] else "", "") for one in part["rounds"]]
    yield (NAMES[name], "clean accuracy", *(cell for pair in accuracies for cell in pair))


def _cells(row: Json | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    median = row["median_queries"]
    return f"{counted((row['found'], row['n']))} {interval(row)}", f"{median:,.0f}" if median is not None else ""
