"""Which layout rows have, told from a few of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import takewhile
from typing import Any

from miner.data.cells import ABSENT, is_envelope, is_turns, literal_value, lookup
from miner.data.columns import ColumnMapping, listed
from miner.data.judged import judged_answers
from miner.data.layouts import ALONE, PAIRED, Examples, Layout, Rows
from miner.data.rows import Reason, Row, UnusableRowError
from miner.errors import DataError

KEEP = "Where it is meant to be text: --set data.json_text=keep"
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
    encoded = {} if keep_json_text else _encoded_columns(examples)
    read = [{**values, **{name: cells[n] for name, cells in encoded.items()}} for n, values in enumerate(examples)]
    if given is not None:
        found = _as_given(given, read, where)
    else:
        layout = _layout_of(read, where)
        found = Recognised(name=layout.name, mapping=_with_optional(layout, read), regroup=layout.regroup)
    held = frozenset(encoded) if found.regroup else _read_as_json(found.mapping, encoded)
    return replace(found, json_columns=held)


def unread(mapping: ColumnMapping, columns: Sequence[str]) -> list[str]:
    """The columns that no path of the mapping begins with."""
    return [name for name in columns if not any(used == name or used.startswith(f"{name}.") for used in mapping.used)]


def _layout_of(examples: Sequence[Mapping[str, Any]], where: str) -> Layout:
    columns = list(dict.fromkeys(name for values in examples for name in values))
    layout = _first_that_fits(PAIRED, examples) or judged_answers(examples, where) or _first_that_fits(ALONE, examples)
    if layout is None or layout.is_plain:
        _refuse_misspelt(columns, layout.mapping if layout else None, where)
    if layout:
        return layout
    raise DataError(
        f"{where}: expected columns of a layout that is known: prompt, chosen and rejected; chosen and rejected; "
        f"prompt; messages; or a published data set's. {listed(columns)}. Say what is in them: {HOW_TO_MAP}"
    )


def _first_that_fits(layouts: Sequence[Layout], examples: Examples) -> Layout | None:
    for layout in layouts:
        if layout.regroup is None and not all(_has(examples, name) for name in layout.mapping.used):
            continue
        if all(_has(examples, name) for name in layout.needs) and (layout.fits is None or layout.fits(examples)):
            return layout
    return None


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
    for layout in PAIRED:
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


def decoded(rows: Rows, columns: Collection[str]) -> Iterator[Row | UnusableRowError]:
    """``rows`` with the JSON text in these columns read; a row with a cell that is none is left out."""
    for row in rows:
        if isinstance(row, UnusableRowError):
            yield row
            continue
        read = {name: _decoded(row.values[name]) for name in columns if name in row.values}
        torn = next((name for name, value in read.items() if value is ABSENT), None)
        if torn is None:
            yield Row(row.where, {**row.values, **read})
        else:
            detail = f"the column holds JSON text, this cell is none: {row.values[torn]!r:.60}. {KEEP}"
            yield UnusableRowError(Reason.JSON_TEXT, f"{row.where}, column {torn!r}", detail)


def _decoded(cell: Any) -> Any:
    return literal_value(cell) if isinstance(cell, str) else cell


def _encoded_columns(examples: Examples) -> dict[str, list[Any]]:
    """What the columns say in which every cell is JSON text; a cell for each of the examples."""
    found = {}
    for name in dict.fromkeys(name for values in examples for name in values):
        cells = [values.get(name) for values in examples]
        texts = [cell for cell in cells if cell is not None]
        if texts and all(isinstance(cell, str) for cell in texts):
            read = list(takewhile(lambda value: value is not ABSENT, map(_decoded, cells)))
            if len(read) == len(cells):
                found[name] = read
    return found


def _read_as_json(mapping: ColumnMapping, encoded: Mapping[str, list[Any]]) -> frozenset[str]:
    """Those of the encoded columns that the mapping reads as what they say. Lists of plain texts count where all
    responses are such, and what holds no text that can be told is the text itself."""
    paths = (*mapping.used, mapping.score, mapping.rank)  # of answers: keys of structs, or columns beside them
    used = {name for name in encoded if any(path and (path == name or path.startswith(f"{name}.")) for path in paths)}
    answers = {name for name in (mapping.chosen, mapping.rejected, *mapping.responses, mapping.completion) if name}
    texts = {name for name in used if all(_is_list_of_texts(cell) for cell in encoded[name])}
    if texts & answers and not answers <= texts:
        used -= texts & answers
    said = answers | {name for name in (mapping.prompt,) if name}
    return frozenset(name for name in used if name not in said or all(map(_tells, encoded[name])))


def _tells(cell: Any) -> bool:
    """Whether a value can be read as a prompt or an answer, all of it: other JSON is the text itself."""
    if cell is None or isinstance(cell, str) or is_turns(cell) or _is_list_of_texts(cell) or is_envelope(cell):
        return True
    return isinstance(cell, list) and bool(cell) and all(map(is_envelope, cell))


def _is_list_of_texts(cell: Any) -> bool:
    return isinstance(cell, list) and bool(cell) and all(one is None or isinstance(one, str) for one in cell)
