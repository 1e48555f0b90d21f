"""What every verb has in common: it says what it is before it loads anything, and can be told to be quiet.

A verb may take dataclasses of options: their fields are options on the command line as if it had declared them. No
text or path that a verb is given is empty, and ``~`` at its beginning is home.
"""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from corpus.locations import location_of
from corpus.working_copy import fetched_all, located, shown
from miner.cli.options import Only
from miner.cli.watcher import Watcher
from miner.errors import ConfigError

# what a verb may be about: the first given
SUBJECTS = ("out_folder", "out", "run", "model", "models", "config", "folder", "source", "study")

IN_STORES = ("run", "folder", "source", "study", "replay", "against")  # what may be a URL of an object store

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, findings or notes: results and errors alone.")]


def verb(run: Callable[..., None]) -> Callable[..., None]:
    """``run`` as a command with ``--quiet``, under a ``Watcher`` that names it first."""
    parameters = inspect.signature(run, eval_str=True).parameters.values()
    groups = [group for parameter in parameters if (group := _Group.of(parameter))]

    @wraps(run)
    def command(*, ctx: typer.Context, quiet: bool, **given: Any) -> None:
        names = ctx.command_path.split(" ")[1:]
        about = next((given[name] for name in SUBJECTS if given.get(name)), None)
        about = ", ".join(about) if isinstance(about, list) else shown(about) if isinstance(about, Path) else about
        first_line = f"rmminer {version('rmminer')} {' '.join(names)}" + (f": opening {about}" if about else "")
        watcher = Watcher(quiet=quiet or ctx.find_root().params.get("quiet", False))
        for group in groups:
            given[group.name] = group.kind(**{field: given.pop(field) for field in group.fields})
        with watcher.verb(" ".join(names), first_line):
            run(**given)

    options = [*_shown(parameters, groups), _keyword("ctx", typer.Context), _keyword("quiet", Quiet, False)]
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in options}
    return command


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


def _in_a_store(url: str | Path, name: str, message: str) -> Path:
    """This machine's copy of a run or corpus in an object store, with what is new there.

    Raises:
        ConfigError: what the parameter ``name`` takes has to lie on this machine.
        CorpusReadError: the store cannot be read.
    """
    from corpus.schema import TABLES  # which loads pyarrow

    if name not in IN_STORES:
        raise ConfigError(message.format("is a URL; expected a file or folder on this machine"))
    return fetched_all(located(url), without=TABLES)


def _shown(parameters: Iterable[inspect.Parameter], groups: list[_Group]) -> Iterator[inspect.Parameter]:
    by_name = {group.name: group for group in groups}
    for parameter in parameters:
        if parameter.name in by_name:
            yield from by_name[parameter.name].options()
        else:
            yield _keyword(parameter.name, parameter.annotation, parameter.default)


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    parsed = _parsed(name, annotation)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=parsed, default=default)


def _parsed(name: str, annotation: Any) -> Any:
    """``annotation`` of text, of a path or of several with what parses each of them; any other as it is."""
    kind, *marks = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    leaves = _leaves(kind)
    for given in (str, Path):
        if given in leaves:
            return Annotated[kind, *(_with_parser(name, mark, given) for mark in marks)]
    return annotation


def _leaves(kind: Any) -> set[Any]:
    inner = get_args(kind) if get_origin(kind) is not Literal else ()
    return set().union(*map(_leaves, inner)) if inner else {kind}


def _with_parser(name: str, mark: Any, kind: type[str] | type[Path]) -> Any:
    if not isinstance(mark, (ArgumentInfo, OptionInfo)):
        return mark
    names = (str(one) for one in (mark.default, *(mark.param_decls or ())))  # typer puts the first in ``default``
    flag = next((one for one in names if one.startswith("--")), f"--{name.replace('_', '-')}")
    message = f"{flag} {{}}, or leave it out" if isinstance(mark, OptionInfo) else f"{name.upper()} {{}}"

    def parse(value: str | Path) -> str | Path:
        if not str(value).strip():
            raise ConfigError(message.format("is empty on the command line. Give it a value"))
        if (kind is Path or flag == "--out") and location_of(value) is not None:  # which refuses credentials
            return _in_a_store(value, name, message) if kind is Path else value
        return kind(os.path.expanduser(value))

    parse.__name__ = {str: "text", Path: "path"}[kind]  # as the help calls it
    parsed = copy.copy(mark)
    parsed.parser = parse
    return parsed
