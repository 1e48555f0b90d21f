"""Which layout rows have, told from a few of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from miner.data.cells import ABSENT, is_turns, lookup, parsed_text
from miner.data.columns import ColumnMapping, listed
from miner.data.layouts import LAYOUTS, Layout, Rows
from miner.data.rows import Row, UnusableRowError
from miner.errors import DataError

USUAL = ("prompt", "chosen", "rejected")
HOW_TO_MAP = """--set 'data.columns={prompt="…", chosen="…", rejected="…"}'"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """How rows are read: ``name`` of the layout (None: the mapping was given), and columns that hold JSON text.

    ``remark`` is for whoever gave the mapping: what it leaves to the side, or where it is read otherwise.
    """

    name: str | None
    mapping: ColumnMapping
    remark: str = ""
    json_columns: frozenset[str] = frozenset()
    regroup: Callable[[Rows], Iterator[Row | UnusableRowError]] | None = None


def recognise(
    examples: Sequence[Mapping[str, Any]], given: ColumnMapping | None, where: str, *, keep_json_text: bool = False
) -> Recognised:
    """How these rows are read: as ``given`` says or, without that, as the first layout that fits.

    Raises:
        DataError: none fits, or a usual name is misspelt: the mapping has to be given.
    """
    if given is not None:
        found = _as_given(given, examples, where)
    else:
        layout = _layout_of(examples, where)
        found = Recognised(name=layout.name, mapping=_with_optional(layout, examples), regroup=layout.regroup)
    return found if keep_json_text else replace(found, json_columns=_json_columns(found.mapping, examples))


def unread(mapping: ColumnMapping, columns: Sequence[str]) -> list[str]:
    """The columns that no path of the mapping begins with."""
    return [name for name in columns if not any(used == name or used.startswith(f"{name}.") for used in mapping.used)]


def _layout_of(examples: Sequence[Mapping[str, Any]], where: str) -> Layout:
    columns = list(dict.fromkeys(name for values in examples for name in values))
    for layout in LAYOUTS:
        if layout.regroup is None and not all(_has(examples, name) for name in layout.mapping.used):
            continue
        if all(_has(examples, name) for name in layout.needs) and (layout.fits is None or layout.fits(examples)):
            if layout.is_plain:
                _refuse_misspelt(columns, layout.mapping, where)
            return layout
    _refuse_misspelt(columns, None, where)
    raise DataError(
        f"{where}: expected columns of a layout that is known: prompt, chosen and rejected; chosen and rejected; "
        f"prompt; messages; or a published data set's. {listed(columns)}. Say what is in them: {HOW_TO_MAP}"
    )


def _has(examples: Sequence[Mapping[str, Any]], path: str) -> bool:
    return any(lookup(values, path) is not ABSENT for values in examples)


def _refuse_misspelt(columns: list[str], mapping: ColumnMapping | None, where: str) -> None:
    others = [name for name in columns if mapping is None or name not in mapping.used]
    for name in USUAL:
        if name not in columns and (near := get_close_matches(name, others, n=1, cutoff=0.85)):
            raise DataError(
                f"{where}: is column {near[0]!r} meant to be {name!r}? Rename it, or say what is in it: {HOW_TO_MAP}"
            )


def _with_optional(layout: Layout, examples: Sequence[Mapping[str, Any]]) -> ColumnMapping:
    found = {field: column for field, column in reversed(layout.optional) if _has(examples, column)}
    return replace(layout.mapping, **found)  # type: ignore[arg-type]


def _as_given(given: ColumnMapping, examples: Sequence[Mapping[str, Any]], where: str) -> Recognised:
    """The mapping given. A label that is one of a known layout's score columns decides with the others (0 in both is a
    tie); where a known layout reads more of the columns, the remark says how."""
    for layout in LAYOUTS:
        scores = layout.mapping.scores
        same = given.label in scores and given.responses == layout.mapping.responses
        if same and not given.signed and all(_has(examples, name) for name in scores):
            mapping = replace(given, label=None, label_values=(), tie_labels=(), scores=scores)
            remark = (
                f"{given.label!r} is one of {layout.name}'s columns {scores}: the larger decides, equal ones are ties"
            )
            return Recognised(name=None, mapping=mapping, remark=remark)
    try:
        layout = _layout_of(examples, where)
    except DataError:
        return Recognised(name=None, mapping=given)
    known = _with_optional(layout, examples)
    wider = layout.regroup is None and set(known.used) > set(given.used)
    remark = (
        f"these columns look like {layout.name}; all of it is read by --set 'data.columns={known}'" if wider else ""
    )
    return Recognised(name=None, mapping=given, remark=remark)


def _json_columns(mapping: ColumnMapping, examples: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The columns in which every cell is JSON text. Lists of plain texts count where all responses are such, so that an
    answer that happens to be a list stays one."""
    held = {name: _parsed(examples, name) for name in mapping.used}
    known = {name for name, cells in held.items() if cells and all(_is_structure(cell) for cell in cells)}
    texts = {name for name, cells in held.items() if cells and all(_is_list_of_texts(cell) for cell in cells)}
    answers = {name for name in (mapping.chosen, mapping.rejected, *mapping.responses, mapping.completion) if name}
    if texts & answers and not answers <= texts:
        texts -= answers
    return frozenset(known | texts)


def _parsed(examples: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """What the texts of a column say as JSON; empty where a cell is no text."""
    cells = [
        value for value in (lookup(values, name) for values in examples) if value is not ABSENT and value is not None
    ]
    return [parsed_text(cell) for cell in cells] if all(isinstance(cell, str) for cell in cells) else []


def _is_structure(cell: Any) -> bool:
    """A list of structs, or of turns; a lone struct may be an answer."""
    return (isinstance(cell, list) and bool(cell) and all(isinstance(one, Mapping) for one in cell)) or is_turns(cell)


def _is_list_of_texts(cell: Any) -> bool:
    return isinstance(cell, list) and all(one is None or isinstance(one, str) for one in cell)
