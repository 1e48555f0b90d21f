"""No function of the product is longer than a screen or takes more than a reader can hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_PARAMETERS = 10
MAX_LINES = 60  # signature and body, without the docstring
BEING_SPLIT = {"cli/review.py: review"}  # a verb that declares each of its options

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_in(text: str) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, Function))


def n_parameters(function: Function) -> int:
    """Those that a caller gives: no ``self``, no ``cls``."""
    taken = [one.arg for one in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len(taken) - (taken[:1] in (["self"], ["cls"]))


def n_lines(function: Function) -> int:
    documented = ast.get_docstring(function) is not None
    first = function.body[0]
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def too_big(folder: Path) -> set[str]:
    return {
        f"{path.relative_to(folder).as_posix()}: {function.name}"
        for path in folder.rglob("*.py")
        for function in functions_in(path.read_text(encoding="utf-8"))
        if n_parameters(function) > MAX_PARAMETERS or n_lines(function) > MAX_LINES
    }


@pytest.mark.parametrize("package", ["attacks", "corpus", "miner"])
def test_functions_are_of_a_size_to_be_read(package: str) -> None:
    assert list((ROOT / package).rglob("*.py"))
    assert too_big(ROOT / package) - BEING_SPLIT == set()


@pytest.mark.parametrize(
    ("text", "is_too_big"),
    [
        (f"def f(self, {', '.join(f'p{i}' for i in range(10))}):\n    pass\n", False),
        (f"def f({', '.join(f'p{i}' for i in range(10))}, *, more):\n    pass\n", True),
        ("def f():\n" + "    a = 1\n" * 59, False),
        ('def f():\n    """a\n\n    b"""\n' + "    a = 1\n" * 59, False),
        ("def f():\n" + "    a = 1\n" * 60, True),
    ],
)
def test_what_is_too_big_is_seen(tmp_path: Path, text: str, is_too_big: bool) -> None:
    (tmp_path / "one.py").write_text(text, encoding="utf-8")
    assert too_big(tmp_path) == ({"one.py: f"} if is_too_big else set())
