"""Tables made from scripts/results: what was measured, on which machine, when."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.docs_pages.markdown import table

RESULTS = Path(__file__).resolve().parents[1] / "results"
Json = Mapping[str, Any]

COMMITTED = "2026-11-25"
"""When the results that hold no date of their own were committed; their scripts record one since."""

STORED = {
    "bench_cycle": "cycle.json",
    "bench_search": "search.json",
    "bench_policy": "policy/policy.json",
    "bench_ranking": "ranking.json",
    "bench_remote": "remote.json",
    "bench_triage": "triage.json",
    "bench_diversity": "diversity.json",
    "bench_machine": "machine.json",
    "bench_certificate": "certificate.json",
    "bench_real": "real.json",
    "bench_patch": "patch.json",
}
MACHINES = {
    "avx2": "2 cores, products as on an AVX2 processor without bf16",
    "native": "2 cores, all that the processor has",
}
PARTS = {"demo": "from a fresh clone", "second": "again, models cached", "quick": "installed, nothing trained",
         "test": "environment made before"}  # fmt: skip


def success() -> str:
    """The README's table: held-out prompts before and after a sham and patches, by attacks that found something, and
    old findings scored again."""
    stored = read_results("cycle.json")
    results, sham = stored["cycle"], stored.get("sham")
    first, *patched = results["rounds"]
    shams = [sham["round"]] if sham else []
    chosen = (first, *shams, patched[0], patched[-1])
    after = [*(["after a sham patch"] if sham else []), "after patch 1", f"after patch {len(patched)}"]
    found = {row["attack"] for one in chosen for row in one["attacks"] if row["found"]}
    rows = [_attack_row(name, seen, chosen) for name, seen in _attacks(results["rounds"]) if name in found]
    for split, what in (("held_out", "held-out"), ("train", "train")):
        cells = [_replayed(results, split, one["round"]) for one in (first, patched[0], patched[-1])]
        cells[1:1] = [_of_n(sham["still_winning"][split])] if sham else []
        seen = "no" if split == "held_out" else "the `gcg` ones"
        rows.append((f"old findings, {what} prompts, that still win", seen, *cells))
    rows.append(("clean preference accuracy", "", *(rate(one["clean_accuracy"]) for one in chosen)))
    titles = ("", "patch saw such texts", _round_title(0), *after)
    return table(titles, rows)


def cycle() -> str:
    """Certified findings on held-out prompts in every round, with intervals and break costs."""
    rounds = read_results("cycle.json")["cycle"]["rounds"]
    titles = ("attack (family), budget", "patch saw its family", *(_round_title(one["round"]) for one in rounds))
    rows = []
    for name, seen in _attacks(rounds):
        row = next(row for one in rounds if (row := _result(one, name)))
        title = f"`{name}` ({row['family']}), {row['budget']:,} queries"
        rows.append((title, seen, *(_found(_result(one, name), median=True) for one in rounds)))
    rows.append(("clean accuracy", "", *(rate(one["clean_accuracy"]) for one in rounds)))
    rows.append(("its change, paired", "", *(points(one["accuracy_change"]) for one in rounds)))
    return table(titles, rows)


def check_errors() -> str:
    """Each check by itself on docs world: false alarms on clean text, hits on planted nonsense."""
    checks = read_results("cycle.json")["cycle"]["checks"]
    plants = list(checks["verdict"]["hit_rate"])
    titles = ("check", "false alarms", *(plant.replace("_", " ") for plant in plants))
    rows = [
        (
            f"`{name}`" if name != "verdict" else name,
            rate(one["false_alarm"]),
            *(rate(one["hit_rate"][p]) for p in plants),
        )
        for name, one in checks.items()
    ]
    return table(titles, rows)


def certificate() -> str:
    """The verdict by domain and reference LM: false alarms, evidence, hits by plant."""
    results = read_results("certificate.json")
    plants = ("random", "shuffled", "repeated", "middle")
    titles = (
        "clean text",
        "reference LM",
        "calibrated on",
        "false alarms",
        "has evidence",
        *plants,
        "s a text",
    )
    rows = [
        (
            domain,
            f"`{lm}`",
            f"{one['calibrated_on']} {one['calibration']}",
            f"{rate(one['false_alarm'])}, n {one['false_alarm']['n']}",
            rate(one["evidence"]),
            *(rate(one["hits"][plant]) for plant in plants),
            f"{one['seconds_a_text']:.2g}",
        )
        for domain, by_lm in results.items()
        if domain not in ("machine", "ran")
        for lm, one in by_lm.items()
    ]
    return table(titles, rows)


def stopping() -> str:
    """LM tokens of the order check where it stops early, of those of all shuffles, and how often its answer changes."""
    rows = [
        (
            domain,
            *map(_percent, one["stopping"]["tokens_of_all"].values()),
            f"{rate(differs)}, n {differs['n']:,}",
        )
        for domain, by_lm in read_results("certificate.json").items()
        if domain in ("docs", "instructions")
        for one in by_lm.values()
        if one["stopping"]
        for differs in [one["stopping"]["differs"]]
    ]
    return table(("text", "clean", "random", "shuffled", "repeated", "middle", "answer changed"), rows)


def held_out_in_turn() -> str:
    """One patch each without a family or a form, and the same attacks on the same held-out prompts."""
    variants = read_results("cycle.json")["held_out_in_turn"]
    names = sorted(row["attack"] for row in next(iter(variants.values()))["rounds"][0]["attacks"])
    titles = ("the patch was kept from", "findings trained on", *(f"`{name}`" for name in names), "clean accuracy")
    before = next(iter(variants.values()))["rounds"][0]
    rows = [("no patch", "0", *(_found(_result(before, name), median=True, forms=True) for name in names), "")]
    for name, results in variants.items():
        after = results["rounds"][1]
        cells = [_found(_result(after, attack), median=True, forms=True) for attack in names]
        kept = name.removesuffix(" held out")
        rows.append((kept, str(after["patch"]["findings"]), *cells, points(after["accuracy_change"])))
    return table(titles, rows)


def machines() -> str:
    """Minutes and memory of the first promise, by machine, and what the demo showed there."""
    stored = read_results("machine.json")
    parts = [(kind, part, stored.get(kind, {}).get(part)) for kind in ("native", "avx2") for part in PARTS]
    titles = (
        "machine", "command", "minutes (bar)", "first finding after (bar)", "peak memory", "load before", "commit, date"
    )  # fmt: skip
    return "\n\n".join([table(titles, [_machine_row(*one) for one in parts]), *_shown(stored)])


def faults() -> str:
    """Every fault that was planted in the code, and the first test that failed with it."""
    rows = [
        (
            name,
            f"`{one['where']}`",
            f"`{one['seen_by']}`" if one["seen_by"] else "none",
            one["date"],
        )
        for name, one in read_results("faults.json").items()
    ]
    return table(("fault", "planted in", "seen by", "date"), rows)


def last_runs() -> str:
    """When each script whose figures are quoted last ran, and on what."""
    rows = [_run_row(script, read_results(name), name) for script, name in STORED.items()]
    return table(("script", "measures", "stored in", "last ran", "machine"), rows)


def read_results(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def _round_title(number: int) -> str:
    return f"after patch {number}" if number else "RM as given"


def _attacks(rounds: list[Json]) -> list[tuple[str, str]]:
    """Names of the attacks, and whether the first patch trained on findings of that family; those it saw first."""

    def place(row: Json) -> tuple[bool, bool, int]:
        before = _result(rounds[0], row["attack"])
        return before is None, not row["seen"], -(before or row)["found"]

    rows = sorted(rounds[1]["attacks"], key=place)
    return [(row["attack"], "yes" if row["seen"] else "no") for row in rows]


def _attack_row(name: str, seen: str, rounds: Sequence[Json]) -> tuple[str, ...]:
    budget = next(row["budget"] for one in rounds if (row := _result(one, name)))
    return (f"`{name}` finds, {budget:,} queries", seen, *(_found(_result(one, name)) for one in rounds))


def _result(one: Json, attack: str) -> Json | None:
    """The attack's row; None where that round had no such attack, as an adaptive one against the RM as given."""
    return next((row for row in one["attacks"] if row["attack"] == attack), None)


def _found(row: Json | None, *, median: bool = False, forms: bool = False) -> str:
    if row is None:
        return ""
    share = f"{row['found']}/{row['n']} = {_percent(row['rate'])} {interval(row)}"
    if median and row["median_queries"] is not None:
        share += f", median {row['median_queries']:,.0f}"
    kinds = [f"{one['found']} {one['form']}" for one in row["forms"]]
    return f"{share} ({', '.join(kinds)})" if forms and kinds else share


def _replayed(results: Json, split: str, rm_round: int) -> str:
    """The share of round 0's findings on ``split`` that the RM of ``rm_round`` still falls for."""
    wanted = {"finding_round": 0, "rm_round": rm_round, "split": split}
    (share,) = (cell["still_winning"] for cell in results["transfer"] if wanted.items() <= cell.items())
    return _of_n(share)


def _of_n(share: Json) -> str:
    return f"{_percent(share['value'])} {interval(share)}, n {share['n']}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def interval(row: Json) -> str:
    return f"[{100 * row['low']:.0f}–{100 * row['high']:.0f}]"


def rate(row: Json) -> str:
    return f"{100 * row['value']:.1f} % [{100 * row['low']:.1f}–{100 * row['high']:.1f}]"


def points(row: Json | None) -> str:
    if row is None:
        return ""
    value, low, high = (_signed(100 * row[name]) for name in ("value", "low", "high"))
    return f"{value} points [{low} to {high}]"


def _signed(value: float) -> str:
    return f"{0.0 if round(value, 1) == 0 else value:+.1f}"


def _machine_row(kind: str, part: str, row: Json | None) -> tuple[str, ...]:
    command = "scripts/test" if part == "test" else "scripts/demo --quick" if part == "quick" else "scripts/demo"
    first = (MACHINES[kind], f"`{command}`, {PARTS[part]}")
    if row is None:
        return (*first, "not measured yet", "", "", "", "")
    bars = {name: pair[kind == "native"] for name, pair in _constant("bench_machine", "BARS").items()}
    found = _beside_bar(row["first_finding_minutes"], bars["first_finding"]) if part == "demo" else ""
    memory, load = f"{row['peak_memory_mb'] / 1024:.1f} GB", f"{row['load_before']:.1f}"
    return (*first, _beside_bar(row["minutes"], bars[part]), found, memory, load, f"`{row['commit']}`, {row['date']}")


def _beside_bar(minutes: float, bar: float) -> str:
    return f"{minutes:.1f} ({bar:g}{'' if minutes <= bar else ': missed'})"


def _constant(script: str, name: str) -> Any:
    """The literal that the script assigns to ``name``."""
    for node in ast.parse((RESULTS.parent / script).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise KeyError(f"{script} assigns no literal to {name}")


def _shown(stored: Json) -> Iterator[str]:
    """What the demo showed on each machine where it ran."""
    for kind in MACHINES:
        demo = stored.get(kind, {}).get("demo")
        if demo is None:
            continue
        shows, products = demo["shows"], demo["products"]
        rates = ", ".join(f"{dtype} {value:g}" for dtype, value in products["gflops_one_thread"].items())
        yield (
            f"What `scripts/demo` showed there ({MACHINES[kind]}; products in GFLOP/s on one thread: {rates}; "
            f"ranking in {products['ranking']}, training in {products['training']}; "
            f"{products['processors']} processors, torch {products['torch']}):"
        )
        titles = ("held-out prompts with a certified finding", "RM as given", "after the patch")
        before, after = shows["rates"]
        names = [*before, *(name for name in after if name not in before)]
        rows = [(f"`{name}`", *(counted(one.get(name)) for one in (before, after))) for name in names]
        rows.append(("clean accuracy", *(rate(one) for one in shows["clean_accuracy"])))
        yield table(titles, rows)
        difference, verdict = shows["gcg_over_random"][0]["difference"], shows["verdict"]
        alarms = verdict["false_alarm"]
        hits = ", ".join(f"{name.replace('_', ' ')} {rate(hit)}" for name, hit in verdict["hit_rate"].items())
        yield (
            f"`gcg` minus `random`, RM as given: {100 * difference['value']:+.0f} points "
            f"{interval(difference)}, n {difference['n']}. The verdict's false alarms: {rate(alarms)} "
            f"of {alarms['n']:,} clean texts; hits: {hits}. Seconds by stage: "
            + ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in demo["seconds"].items())
            + "."
        )


def counted(pair: Sequence[int] | None) -> str:
    """Found of tried; nothing where it was not tried."""
    return f"{pair[0]}/{pair[1]}" if pair else ""


def _run_row(script: str, results: Json, name: str) -> tuple[str, ...]:
    described = ast.get_docstring(ast.parse((RESULTS.parent / script).read_text(encoding="utf-8"))) or ""
    measures = " ".join(described.partition("\n\n")[0].removeprefix("Measures ").split()).rstrip(".")
    dates = sorted(_dates(results))
    when = dates[-1] if dates else f"not recorded; committed {COMMITTED}"
    machines = list(_machines(results))
    cores = {f"{one['cpus']} cores, torch {one['torch']}, torch threads: {one['threads']}" for one in machines}
    shown = "; ".join(sorted(cores)) or "see [Machines](#machines)"
    return (f"`scripts/{script}`", measures, f"`scripts/results/{name}`", when, shown)


def _dates(value: Any) -> Iterator[str]:
    """Every date that a result holds: of a run (``created_at``, ``date``) or of a part (``ran``)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in ("created_at", "date") and isinstance(inner, str):
                yield inner[:10]
            elif key == "ran":
                yield from (str(day) for day in inner.values())
            else:
                yield from _dates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _dates(inner)


def _machines(value: Any) -> Iterator[Json]:
    if isinstance(value, Mapping):
        if "machine" in value:
            yield value["machine"]
        for inner in value.values():
            yield from _machines(inner)
