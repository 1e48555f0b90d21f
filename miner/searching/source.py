"""Source code of modules by name, read without running it: what it does, whom it imports, which names it uses."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from corpus.records import digest
from miner.errors import ConfigError


@cache
def code_digest(module: str) -> str:
    """Digest of what a module's code does: the same whatever its docstrings, comments and formatting say.

    Raises:
        ConfigError: it has no source.
    """
    return digest(_plain(_tree(module)))


def imported_within(module: str, packages: Sequence[str]) -> set[str]:
    """``module`` and all that it imports, and they import, within these packages.

    What a package's ``__init__`` only passes on counts as imported from where it is defined.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [one for one in _imports(name) if one.split(".")[0] in packages]
    return found


def names_in(module: str) -> set[str]:
    """Every name that a module's code uses or imports."""
    found: set[str] = set()
    for node in ast.walk(_tree(module)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name)
    return found


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(_tree(module)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names if _spec(alias.name))
            case ast.ImportFrom():
                origin = _absolute(module, node)
                yield from (_home(origin, alias.name) for alias in node.names if _spec(origin))


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + _is_package(module)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _home(origin: str, name: str) -> str:
    """The module that ``from origin import name`` takes it from."""
    if not _is_package(origin):
        return origin
    if _spec(f"{origin}.{name}"):
        return f"{origin}.{name}"
    for node in ast.walk(_tree(origin)):
        if isinstance(node, ast.ImportFrom) and (passed := [a for a in node.names if (a.asname or a.name) == name]):
            return _home(_absolute(origin, node), passed[0].name)
    return origin


@cache
def _spec(module: str) -> ModuleSpec | None:
    """Where a module is, without importing its parents."""
    parent, _, _ = module.rpartition(".")
    if not parent:
        return find_spec(module) if module != "__main__" else None
    above = _spec(parent)
    places = above.submodule_search_locations if above else None
    return PathFinder.find_spec(module, places) if places else None


def _is_package(module: str) -> bool:
    spec = _spec(module)
    return spec is not None and spec.submodule_search_locations is not None


@cache
def _tree(module: str) -> ast.Module:
    spec = _spec(module)
    source: str | None = getattr(spec.loader, "get_source", lambda _: None)(module) if spec else None
    file = getattr(sys.modules.get(module), "__file__", None)  # a script, or a module loaded from a path
    if source is None and file:
        source = Path(file).read_text(encoding="utf-8")
    if source is None:
        raise ConfigError(f"module {module} has no source code, by which stored attempts are known. Put it in a file")
    return ast.parse(source)


def _plain(node: Any) -> Any:
    """The tree as JSON, without strings that stand alone (docstrings) and without what is empty: Python versions differ
    in which empty fields a node has."""
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
        return [type(node).__name__, *([name, value] for name, value in fields if value not in (None, []))]
    if isinstance(node, list):
        return [_plain(one) for one in node if not _is_prose(one)]
    return None if node is None else ascii(node)


def _is_prose(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
