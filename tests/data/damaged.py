"""Preference data with damage in it, in every kind of file."""

from __future__ import annotations

import bz2
import copy
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import assume, reject
from hypothesis import strategies as st

from tests.data.compressed import zst
from tests.data.judgements import JUDGEMENTS
from tests.data.named_layouts import BAD, DEMONSTRATIONS, GOOD, LAYOUTS, Q

LINES = ("lines", "gz", "bz2", "xz", "zst", "utf-16", "bom", "zip", "folder")


TABLES = ("parquet", "arrow", "stream", "csv", "tsv", "columns")


KINDS = (*LINES, *TABLES, "array", "pretty", "wrapped")


ODD: list[Any] = [None, "", " ", [], {}, 3, -0.5, True, ["a", None], [None], {"role": "user"}, [{"role": "robot"}],
                  [{"role": "user", "content": None}], [{"role": "user", "content": [{"type": "image"}]}],
                  "[1, 2", '["x"]', '[{"role": "user"', "\ud800", {"text": "t"}, [[["q", "a"]]], "\n\nHuman:",
                  '{"text": "t"}', '"a\\nb"', '[{"weight": 1, "role": "user", "content": "c"}]', "undesirable", "-1",
                  -1, "nan", "\x00", "1" * 5000]  # fmt: skip


JUDGED = [[{"prompt": Q, "response": GOOD, name: good}, {"prompt": Q, "response": BAD, name: bad}]
          for name, good, bad in JUDGEMENTS]  # fmt: skip


ROWS = [rows for _, rows in LAYOUTS] + [[row] for _, row in DEMONSTRATIONS] + JUDGED


@st.composite
def damaged_rows(draw: st.DrawFn) -> list[Any]:
    """Rows of one layout, some with a key gone, an odd cell, or in the place of a row something else."""
    rows: list[Any] = [
        copy.deepcopy(row) for row in draw(st.sampled_from(ROWS)) for _ in range(draw(st.integers(1, 3)))
    ]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(rows) - 1))
        if not isinstance(rows[at], dict) or not rows[at]:
            continue
        key = draw(st.sampled_from(sorted(rows[at])))
        match draw(st.sampled_from(("drop", "odd", "rename", "replace"))):
            case "drop":
                del rows[at][key]
            case "odd":
                rows[at][key] = draw(st.sampled_from(ODD))
            case "rename":
                rows[at][key + "s"] = rows[at].pop(key)
            case "replace":
                rows[at] = draw(st.sampled_from([None, 1, "text", [], {}]))
    return rows


def encoded(rows: list[Any], kind: str) -> bytes:
    """The file; another example is tried where the kind cannot say these rows."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    objects = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in objects for name in row))
    packed: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zst
    }  # fmt: skip
    if kind in packed:
        return packed[kind](lines.encode())
    if kind == "zip":
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr("data.jsonl", lines)
        return held.getvalue()
    if kind == "folder":
        assume(not any(isinstance(row, list) for row in rows))  # alone in its file, it would be an array of rows
    if kind in TABLES:
        assume(len(objects) == len(rows) and names)
    if kind in ("parquet", "arrow", "stream"):
        return as_arrow([{name: row.get(name) for name in names} for row in rows], kind)
    if kind in ("csv", "tsv"):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, delimiter="," if kind == "csv" else "\t")
        writer.writeheader()
        cells = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows]
        writer.writerows(cells)
        return text.getvalue().encode("utf-8", errors="replace")
    texts = {
        "lines": lines,
        "folder": lines,
        "array": json.dumps(rows),
        "pretty": "\n".join(json.dumps(row, indent=1) for row in rows),
        "wrapped": json.dumps({"data": rows}),
        "columns": json.dumps({name: [row.get(name) for row in objects] for name in names}),
    }
    if kind == "utf-16":
        return lines.encode("utf-16")
    return b"\xef\xbb\xbf" + lines.encode() if kind == "bom" else texts[kind].encode()


def as_arrow(rows: list[dict[str, Any]], kind: str) -> bytes:
    held = io.BytesIO()
    try:
        table = pa.Table.from_pylist(rows)
        if kind == "parquet":
            pq.write_table(table, held)
        else:
            with (pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream)(held, table.schema) as writer:
                writer.write_table(table)
    except (pa.ArrowException, UnicodeEncodeError, TypeError):
        reject()
    return held.getvalue()


def stored(folder: Path, content: bytes, kind: str) -> Path:
    """What is given to the loader: a file or, cut in two where a line ends, a folder of files."""
    if kind != "folder":
        path = folder / (f"data.{kind}" if kind in ("csv", "tsv") else "data")
        path.write_bytes(content)
        return path
    lines = content.splitlines(keepends=True)
    for n, part in enumerate((lines[: len(lines) // 2], lines[len(lines) // 2 :])):
        (folder / f"part-{n}.jsonl").write_bytes(b"".join(part))
    return folder
