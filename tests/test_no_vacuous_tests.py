"""No test passes for want of anything to look at.

A test is vacuous where every one of its assertions stands in a loop, or is an ``all(...)``, a ``not any(...)`` or a
comprehension that is to be empty, over what may be empty. The reading is simple. Sure not to be empty are: literals
with an element, ``range`` of a positive number, CONSTANTS, parameters that a decorator feeds, names bound to one of
these, and what ``zip``, ``sorted``, ``items``, slices, comprehensions without a condition and their like make of them.
One assertion that is about something whatever happens, such as ``assert found`` or ``assert len(found) == 3``, is
enough: the test can fail. A call of a function of the same file that asserts is an assertion.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
KEEPING = {"enumerate", "sorted", "reversed", "list", "tuple", "set", "dict", "iter", "map", "zip", "product", "cycle",
           "items", "values", "keys", "split", "splitlines", "copy", "tolist"}  # fmt: skip
"""Functions and methods that give something where they are given something."""
EMPTY = ("[]", "{}", "()", "set()")


def asserts(node: ast.AST, helpers: frozenset[str]) -> bool:
    """Whether this very node asserts."""
    match node:
        case ast.Assert():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in helpers
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in ("raises", "warns") or name.startswith("assert_")
    return False


def vacuous_tests(source: str) -> list[str]:
    """The names of the tests in a file whose every assertion may be about nothing."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    helpers = frozenset(
        one.name
        for one in functions
        if not one.name.startswith("test") and any(asserts(node, frozenset()) for node in ast.walk(one))
    )
    return [one.name for one in functions if one.name.startswith("test_") and _is_vacuous(one, helpers)]


def _is_vacuous(test: ast.FunctionDef, helpers: frozenset[str]) -> bool:
    fed = " ".join(map(ast.unparse, test.decorator_list))  # by parametrize, or by hypothesis
    sure = {one.arg for one in test.args.args if re.search(rf"\b{one.arg}\b", fed)}
    bound = {
        target.id: node.value
        for node in ast.walk(test)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    found = list(_assertions(test, helpers, sure, bound))
    return bool(found) and all(may_be_skipped for may_be_skipped in found)


def _assertions(node: ast.AST, helpers: frozenset[str], sure: set[str], bound: dict[str, ast.expr]) -> Iterator[bool]:
    """Per assertion inside ``node`` whether it may be about nothing."""
    for child in ast.iter_child_nodes(node):
        if asserts(child, helpers):
            yield isinstance(child, ast.Assert) and _holds_of_nothing(child.test, sure, bound)
        unsure = isinstance(child, ast.While) or (isinstance(child, ast.For) and not _is_sure(child.iter, sure, bound))
        inside = _assertions(child, helpers, sure, bound)
        yield from (True for _ in inside) if unsure else inside


def _holds_of_nothing(test: ast.expr, sure: set[str], bound: dict[str, ast.expr]) -> bool:
    """Whether it is ``all(...)``, ``not any(...)``, ``[...] == []``, or several of them, over what may be empty."""
    match test:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_holds_of_nothing(part, sure, bound) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Call(func=ast.Name(id="any"), args=[over])):
            return not _is_sure(over, sure, bound)
        case ast.Call(func=ast.Name(id="all"), args=[over]):
            return not _is_sure(over, sure, bound)
        case ast.UnaryOp(op=ast.Not(), operand=found):
            return _chosen_from_nothing(found, sure, bound)
        case ast.Compare(left=found, ops=[ast.Eq()], comparators=[nothing]):
            return ast.unparse(nothing) in EMPTY and _chosen_from_nothing(found, sure, bound)
    return False


def _chosen_from_nothing(found: ast.expr, sure: set[str], bound: dict[str, ast.expr]) -> bool:
    if isinstance(found, ast.Name) and found.id in bound:
        return _chosen_from_nothing(bound[found.id], sure, _without(bound, found.id))
    if not isinstance(found, ast.ListComp | ast.SetComp | ast.DictComp):
        return False
    return not all(_is_sure(one.iter, sure, bound) for one in found.generators)


def _is_sure(node: ast.expr, sure: set[str], bound: dict[str, ast.expr]) -> bool:
    """Whether there is something to iterate over, for all that can be seen."""

    def is_sure(*parts: ast.expr) -> list[bool]:
        return [_is_sure(part, sure, bound) for part in parts]

    match node:
        case ast.Constant(value=value):
            return bool(value)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return any(not isinstance(part, ast.Starred) or _is_sure(part.value, sure, bound) for part in parts)
        case ast.Dict(keys=keys):
            return any(key is not None for key in keys)
        case ast.Name(id=name):
            if name.isupper() or name in sure:
                return True
            return name in bound and _is_sure(bound[name], sure, _without(bound, name))
        case ast.Attribute(attr=name):
            return name.isupper()
        case ast.Subscript(value=value):
            return _is_sure(value, sure, bound)
        case ast.BinOp(left=left, right=right):
            return any(is_sure(left, right))
        case ast.IfExp(body=one, orelse=other):
            return all(is_sure(one, other))
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            return all(not one.ifs and _is_sure(one.iter, sure, bound) for one in node.generators)
        case ast.Call(func=ast.Name(id="range"), args=parts):
            return not (len(parts) == 1 and isinstance(parts[0], ast.Constant) and not parts[0].value)
        case ast.Call(func=ast.Name(id="map"), args=[_, *parts]):
            return all(is_sure(*parts))
        case ast.Call(func=ast.Name(id="zip"), args=parts):
            return any(is_sure(*parts)) if node.keywords else all(is_sure(*parts))
        case ast.Call(func=ast.Name(id=name), args=[_, *_]) if name in KEEPING:
            return all(is_sure(*node.args))
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in KEEPING:
            return _is_sure(value, sure, bound)
    return False


def _without(bound: dict[str, ast.expr], name: str) -> dict[str, ast.expr]:
    return {key: value for key, value in bound.items() if key != name}


@pytest.mark.parametrize("file", sorted(TESTS.rglob("test_*.py")), ids=lambda file: file.stem)
def test_every_test_has_something_to_look_at(file: Path) -> None:
    assert vacuous_tests(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "body",
    [
        "for one in found(): assert one",
        "for one in [x for x in ROWS if x]: assert one",
        "while one := next(): assert one",
        "for one in fixture:\n        with pytest.raises(ValueError): one()",
        "assert all(one for one in found())",
        "assert not any(one for one in found()) and all(found())",
        "wrong = [one for one in found() if one]\n    assert wrong == []",
        "for one in zip(ROWS, found()): check(one)",
    ],
)
def test_what_may_look_at_nothing_is_seen(body: str) -> None:
    assert vacuous_tests(f"def check(one): assert one\n\ndef test_it(fixture):\n    {body}\n") == ["test_it"]


@pytest.mark.parametrize(
    "body",
    [
        "for one in found(): assert one\n    assert found()",
        "for at, one in enumerate(sorted(ROWS[:3])): assert one",
        "for one in (1, 2): assert one",
        "assert all(one for one in given)",
        "wrong = [one for one in ROWS if one]\n    assert wrong == []",
        "assert any(one for one in found())",
        "rows = {'a': 1}\n    for one in rows.items(): assert one",
    ],
)
def test_what_looks_at_something_is_let_through(body: str) -> None:
    fed = "@pytest.mark.parametrize('given', ROWS)\n"
    assert vacuous_tests(f"{fed}def test_it(given):\n    {body}\n") == []
