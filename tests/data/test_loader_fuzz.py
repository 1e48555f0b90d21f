"""Any layout in any file with any damage: our own errors alone, and no row lost without being counted.

``RMMINER_FUZZ_EXAMPLES`` sets how many; the usual run tries a few hundred.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner.data import RowRules, read_preferences
from miner.errors import DataError
from tests.data.damaged import KINDS, LINES, damaged_rows, encoded, stored

EXAMPLES = int(os.environ.get("RMMINER_FUZZ_EXAMPLES", "200"))


@given(data=st.data(), rows=damaged_rows(), kind=st.sampled_from(KINDS), max_left_out=st.sampled_from((0.05, 1.0)))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_only_our_errors_and_every_row_is_accounted_for(
    data: st.DataObject, rows: list[Any], kind: str, max_left_out: float
) -> None:
    content = encoded(rows, kind)
    is_torn = data.draw(st.booleans()) and data.draw(st.booleans())
    if is_torn:
        cut = data.draw(st.integers(0, len(content)))
        content = content[:cut] + data.draw(st.binary(max_size=4)) + content[cut + data.draw(st.integers(0, 9)) :]
    with tempfile.TemporaryDirectory() as folder:
        path = stored(Path(folder), content, kind)
        try:
            read = read_preferences(path, rules=RowRules(max_left_out=max_left_out))
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017
            return
    report = read.report
    assert report.rows == report.used + sum(report.skipped.values())
    assert 0 < len(read.prompts) <= report.used
    assert sum(report.prompts_by_split.values()) == len(read.prompts)
    is_grouped = (report.read_as or "").startswith("oasst")
    one_object = kind in (*LINES, "pretty", "wrapped") and len(rows) <= (2 if kind == "folder" else 1)
    if not is_torn and not is_grouped and not one_object and kind != "columns":
        assert report.rows == len(rows)
