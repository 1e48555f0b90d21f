"""Programs without ``.py`` are checked only where a list of pyproject.toml names them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {
    path
    for path in (ROOT / "scripts").iterdir()
    if path.is_file() and not path.suffix and "python" in path.read_text(encoding="utf-8").partition("\n")[0]
}


@pytest.mark.parametrize(("tool", "listed"), [("ruff", "extend-include"), ("mypy", "files")])
def test_every_program_is_linted_and_type_checked(tool: str, listed: str) -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][tool][listed]
    assert len(PROGRAMS) > 10
    assert {path for pattern in patterns for path in ROOT.glob(pattern)} >= PROGRAMS
