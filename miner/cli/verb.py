"""What every verb has in common: it says what it is before it loads anything, and can be told to be quiet.

A verb may take dataclasses of options: their fields are options on the command line as if it had declared them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from importlib.metadata import version
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from miner.cli.options import Only
from miner.cli.watcher import Watcher

# what a verb may be about: the first given
SUBJECTS = ("out_folder", "out", "run", "model", "models", "config", "folder", "source", "study")

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, findings or notes: results and errors alone.")]


def verb(run: Callable[..., None]) -> Callable[..., None]:
    """``run`` as a command with ``--quiet``, under a ``Watcher`` that names it first."""
    parameters = inspect.signature(run, eval_str=True).parameters.values()
    groups = [group for parameter in parameters if (group := _Group.of(parameter))]

    @wraps(run)
    def told(*, ctx: typer.Context, quiet: bool, **given: Any) -> None:
        names = ctx.command_path.split(" ")[1:]
        about = next((given[name] for name in SUBJECTS if given.get(name)), None)
        about = ", ".join(about) if isinstance(about, list) else about
        first_line = f"rmminer {version('rmminer')} {' '.join(names)}" + (f": opening {about}" if about else "")
        watcher = Watcher(quiet=quiet or ctx.find_root().params.get("quiet", False))
        for group in groups:
            given[group.name] = group.kind(**{field: given.pop(field) for field in group.fields})
        with watcher.verb(" ".join(names), first_line):
            run(**given)

    shown = [*_shown(parameters, groups), _keyword("ctx", typer.Context), _keyword("quiet", Quiet, False)]
    told.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    told.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return told


@dataclass(frozen=True, slots=True)
class _Group:
    """A verb's parameter that stands for several options: ``kind`` is made of the ``fields`` among them."""

    name: str
    kind: type[Any]
    fields: tuple[str, ...]

    @classmethod
    def of(cls, parameter: inspect.Parameter) -> _Group | None:
        """That of a parameter annotated with a dataclass, all of whose fields it takes unless ``Only`` names some."""
        annotation = parameter.annotation
        kind, *marks = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
        if not (isinstance(kind, type) and is_dataclass(kind)):
            return None
        named = [name for mark in marks if isinstance(mark, Only) for name in mark.names]
        return cls(parameter.name, kind, tuple(named or (field.name for field in fields(kind))))

    def options(self) -> Iterator[inspect.Parameter]:
        hints = get_type_hints(self.kind, include_extras=True)
        defaults = {field.name: field.default for field in fields(self.kind)}
        for name in self.fields:
            default = defaults[name]
            yield _keyword(name, hints[name], inspect.Parameter.empty if default is MISSING else default)


def _shown(parameters: Iterable[inspect.Parameter], groups: list[_Group]) -> Iterator[inspect.Parameter]:
    by_name = {group.name: group for group in groups}
    for parameter in parameters:
        if parameter.name in by_name:
            yield from by_name[parameter.name].options()
        else:
            yield _keyword(parameter.name, parameter.annotation, parameter.default)


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
