"""What every verb has in common: it says what it is before it loads anything, and can be told to be quiet."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Annotated, Any

import typer

from miner.cli.watcher import Watcher

# what a verb may be about: the first given
SUBJECTS = ("out_folder", "run", "model", "models", "config", "folder", "source")

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, findings or notes: results and errors alone.")]


def verb(run: Callable[..., None]) -> Callable[..., None]:
    """``run`` as a command with ``--quiet``, under a ``Watcher`` that names it first."""

    @wraps(run)
    def told(*, ctx: typer.Context, quiet: bool, **given: Any) -> None:
        names = ctx.command_path.split(" ")[1:]
        about = next((given[name] for name in SUBJECTS if given.get(name)), None)
        about = ", ".join(about) if isinstance(about, list) else about
        first_line = f"rmminer {version('rmminer')} {' '.join(names)}" + (f": opening {about}" if about else "")
        watcher = Watcher(quiet=quiet or ctx.find_root().params.get("quiet", False))
        with watcher.verb(" ".join(names), first_line):
            run(**given)

    added = {"ctx": (typer.Context, inspect.Parameter.empty), "quiet": (Quiet, False)}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in added.items()
    ]
    signature = inspect.signature(run, eval_str=True)
    told.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *parameters])  # type: ignore[attr-defined]
    told.__annotations__ = {**run.__annotations__, **{name: kind for name, (kind, _) in added.items()}}
    return told
