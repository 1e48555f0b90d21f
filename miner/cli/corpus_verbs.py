"""``rmminer corpus …``: look into a corpus, share it, look after it."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpus.working_copy import shown
from miner.cli import options as o
from miner.cli.output import clipped, out, print_json
from miner.cli.verb import verb
from miner.cli.watcher import running

if TYPE_CHECKING:
    from rich.table import Table

    from corpus import Corpus

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Folder = Annotated[Path, typer.Argument(help="The corpus folder, or the run's folder that holds it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would come of it; change nothing.")]
ROWS_SHOWN = 100


@app.command()
@verb
def stats(folder: Folder, json: o.Json = False) -> None:
    """Counts by attack, family, form, round and split, and groups of near-duplicates."""
    with running().stage("counting"):
        found = existing_corpus(folder).stats()
    if json:
        print_json(found.as_dict())
        return
    console = out()
    rows = ", ".join(f"{count} {name}" for name, count in found.rows.items())
    console.print(f"{rows}; {sum(found.segments.values())} segments, {found.bytes / 2**20:.1f} MiB", markup=False)
    console.print(f"{found.near_duplicate_groups} groups of near-duplicate findings", markup=False)
    for title, columns in (("findings", found.findings_by), ("attempts", found.attempts_by)):
        for column, counts in columns.items():
            listed = ", ".join(f"{clipped(value, 40)} {count}" for value, count in counts.items())
            console.print(f"{title} by {column}: {listed or 'none'}", markup=False)


@app.command()
@verb
def query(
    folder: Folder,
    sql: Annotated[str, typer.Argument(help="SELECT over findings, attempts, prompts, queries, reviews (DuckDB).")],
    json: o.Json = False,
) -> None:
    """The rows of an SQL query."""
    with running().stage("asking the corpus"):
        rows = _with_names_of_their_own(existing_corpus(folder).query(sql))
    if json:
        print_json(rows.to_pylist())
        return
    out().print(_table(rows))
    if len(rows) > ROWS_SHOWN:
        out().print(f"… {len(rows) - ROWS_SHOWN} more rows; --json prints all", markup=False)


@app.command()
@verb
def export(
    folder: Folder,
    target: Annotated[Path, typer.Argument(help="A new folder.")],
    fmt: Annotated[str, typer.Option("--format", help="trl (preference pairs), jsonl, csv or datasets.")] = "trl",
    split: Annotated[list[str] | None, typer.Option(help="Splits to export; train unless told otherwise.")] = None,
    margin: Annotated[bool, typer.Option(help="Add a margin column to pairs.")] = False,
    json: o.Json = False,
    dry_run: DryRun = False,
) -> None:
    """Findings for training or sharing, with a dataset card; loads with datasets.load_dataset."""
    from corpus.export import require_new
    from miner.judging.reviews import PeoplesVerdicts

    chosen: Any = [_known_split(name) for name in split or ["train"]]
    require_new(target)
    corpus = existing_corpus(folder)
    overruled = PeoplesVerdicts(corpus.reviews()).overruled
    with running().stage("exporting"), tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "out" if dry_run else target
        report = corpus.export(fmt, place, splits=chosen, margin=margin, without=overruled)  # type: ignore[arg-type]
        report = replace(report, path=target)
    if json:
        print_json(report)
        return
    counts = ", ".join(f"{n} {name}" for name, n in report.rows.items())
    left = f"; {report.other_splits} of other splits left out" if report.other_splits else ""
    left += f"; {report.overruled} that people overruled left out" if report.overruled else ""
    out().print(f"{counts} rows in {report.path}{left}", markup=False)


@app.command(name="import")
@verb
def import_(
    folder: Folder,
    source: Annotated[Path, typer.Argument(help="Another corpus or run, or what export --format jsonl wrote.")],
    json: o.Json = False,
    dry_run: DryRun = False,
) -> None:
    """Add another corpus' rows; those already here stay as they are."""
    from corpus.scratch import scratch_copy

    within = scratch_copy(_corpus(folder)) if dry_run else nullcontext(_corpus(folder))
    with running().stage("importing"), within as corpus:
        report = corpus.import_from(_corpus_path(source))
    if json:
        print_json(report)
        return
    out().print(f"added {_counts(report.added)}; here already {_counts(report.already_here)}", markup=False)


@app.command()
@verb
def compact(folder: Folder, json: o.Json = False, dry_run: DryRun = False) -> None:
    """Merge small segments; safe while others read and write."""
    from corpus.scratch import scratch_copy

    within = scratch_copy(existing_corpus(folder)) if dry_run else nullcontext(existing_corpus(folder))
    with running().stage("merging segments"), within as corpus:
        report = corpus.compact()
    if json:
        print_json(report)
        return
    out().print(
        f"{report.segments_before} segments became {report.segments_after}, "
        f"{report.bytes_before} bytes became {report.bytes_after}",
        markup=False,
    )


@app.command()
@verb
def verify(
    folder: Folder,
    quarantine: Annotated[bool, typer.Option(help="Set damaged segments aside, under damaged/.")] = False,
    json: o.Json = False,
) -> None:
    """Check every byte; exit status 2 if a segment is damaged."""
    corpus = existing_corpus(folder)
    with running().stage("checking every byte"):
        reports = corpus.verify()
    bad = [report for report in reports if not report.ok]
    moved = corpus.quarantine(bad) if quarantine else []
    if json:
        print_json({"segments": reports, "set_aside": moved})
    else:
        out().print(f"{len(reports) - len(bad)} of {len(reports)} segments are whole", markup=False)
        for report in bad:
            out().print(f"{report.state}: {report.path}: {report.problem}", markup=False)
        for path in moved:
            out().print(f"set aside: {path}", markup=False)
    if bad and not moved:
        raise typer.Exit(2)


def _corpus(folder: Path) -> Corpus:
    from corpus import Corpus

    return Corpus(_corpus_path(folder))


def _corpus_path(folder: Path) -> Path:
    """The corpus of a run's folder; anything else as it is."""
    return folder / "corpus" if (folder / "corpus").is_dir() else folder


def existing_corpus(folder: Path) -> Corpus:
    """The corpus at ``folder``, a run's or its own.

    Raises:
        DataError: there is none.
    """
    from miner.errors import DataError

    corpus = _corpus(folder)
    if not corpus.exists():
        raise DataError(f"no corpus at {shown(folder)}. Name the folder of a run, or its corpus/ folder")
    return corpus


def _known_split(name: str) -> str:
    """The split of that name.

    Raises:
        ConfigError: there is none; the nearest is named.
    """
    from difflib import get_close_matches
    from typing import get_args

    from corpus.records import Split
    from miner.errors import ConfigError

    known = list(get_args(Split))
    if name in known:
        return name
    near = get_close_matches(name, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ConfigError(f"no split {name!r}{hint}. Splits: {', '.join(known)}")


def _with_names_of_their_own(rows: Any) -> Any:
    """Columns of one name, as joins give them, told apart by a number: an object keeps one of each name."""
    names: list[str] = []
    for name in rows.column_names:
        taken = (f"{name}_{n}" for n in range(2, len(rows.column_names) + 2))
        names.append(name if name not in names else next(one for one in taken if one not in names))
    return rows.rename_columns(names)


def _counts(by_table: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in by_table.items() if count) or "nothing"


def _table(rows: Any) -> Table:
    from rich.table import Table

    from miner import safe_text

    table = Table()
    for name in rows.column_names:
        table.add_column(safe_text.terminal(name))
    for row in rows.slice(0, ROWS_SHOWN).to_pylist():
        table.add_row(*(safe_text.terminal(clipped(str(value))) for value in row.values()))
    return table
