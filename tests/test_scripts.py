"""Programs without ``.py`` are checked only where a list of pyproject.toml names them."""

from __future__ import annotations

import tomllib

import pytest

from tests.test_layering import ROOT, sources_of

PROGRAMS = {path for path in sources_of(ROOT / "scripts") if not path.suffix}


@pytest.mark.parametrize(("tool", "listed"), [("ruff", "extend-include"), ("mypy", "files")])
def test_every_program_is_linted_and_type_checked(tool: str, listed: str) -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][tool][listed]
    assert len(PROGRAMS) > 10
    assert {path for pattern in patterns for path in ROOT.glob(pattern)} >= PROGRAMS
