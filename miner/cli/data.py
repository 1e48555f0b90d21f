"""``rmminer data``: how preference data is read, before anything is run on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from miner.cli import options as o
from miner.cli.output import clipped, out, plain, print_json
from miner.cli.watcher import running

if TYPE_CHECKING:
    from rich.console import Group

    from corpus.records import Prompt
    from miner.data import LoadReport, Prompts

SHOWN_CHARACTERS = 400


def data(
    source: Annotated[str, typer.Argument(help="Preference data: file, folder or hub id.")],
    rows: Annotated[int, typer.Option(help="Prompts to show.", min=0)] = 3,
    settings: o.Settings = None,
    json: o.Json = False,
) -> None:
    """Show how preference data is read: the layout that was recognised, some prompts, and what was left out."""
    from miner.config.campaign import parse_config
    from miner.worlds.opening import read_data

    given = o.overrides_from_options(o.CampaignOptions(data=source, settings=settings))
    loaded = parse_config({"out": ".", "rm": {"source": "none"}}, given, where="command line")
    watcher = running()
    with watcher.stage(f"reading {source}"):
        read = read_data(loaded, watcher)
    if json:
        print_json(
            {**plain(read.report), "notes": read.report.notes(), "prompts": [_as_json(p) for p in read.prompts[:rows]]}
        )
        return
    out().print(_shown(read.report, read.prompts, rows))


def _as_json(prompt: Prompt) -> dict[str, Any]:
    return {
        "conversation": [plain(turn) for turn in prompt.conversation],
        "reference": prompt.reference,
        "rejected": list(prompt.rejected),
        "split": prompt.split,
    }


def _shown(report: LoadReport, prompts: Prompts, n: int) -> Group:
    from rich.console import Group
    from rich.text import Text

    from miner import safe_text

    lines = [Text(line) for line in _counts(report, prompts)]
    for number, prompt in enumerate(prompts[:n], start=1):
        lines.append(Text(f"prompt {number}, {prompt.split} split", style="bold"))
        said = [(turn.role, turn.content) for turn in prompt.conversation]
        answers = [("good answer", prompt.reference), *(("rejected", text) for text in prompt.rejected)]
        for name, text in (*said, *answers):
            shown = "none" if text is None else clipped(text, SHOWN_CHARACTERS)
            lines.append(Text(f"  {name}: ").append_text(safe_text.terminal(shown)))
    return Group(*lines)


def _counts(report: LoadReport, prompts: Prompts) -> list[str]:
    answered = [bool(prompt.rejected) for prompt in prompts if prompt.reference is not None]
    splits = ", ".join(f"{n} {split}" for split, n in report.prompts_by_split.items())
    return [
        f"read as: {report.read_as or 'columns as given'}, {report.columns}",
        f"rows: {report.rows}, of which {report.used} used and {report.rows - report.used} left out",
        *(f"  {one.rows} × {one.reason} (first: {one.first})" for one in report.left_out),
        f"prompts: {len(prompts)}, {len(answered)} with a good answer, {sum(answered)} of them with a rejected one",
        f"splits: {splits}",
    ]
