"""Programs without ``.py`` are checked where a list of pyproject.toml names them; parts of a benchmark are merged."""

from __future__ import annotations

import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from scripts.parts import chosen, merge, stored
from tests.sources import ROOT, sources_of

PROGRAMS = {path for path in sources_of(ROOT / "scripts") if not path.suffix}


@pytest.mark.parametrize(("tool", "listed"), [("ruff", "extend-include"), ("mypy", "files")])
def test_every_program_is_linted_and_type_checked(tool: str, listed: str) -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][tool][listed]
    assert len(PROGRAMS) > 10
    assert {path for pattern in patterns for path in ROOT.glob(pattern)} >= PROGRAMS


def test_every_planted_fault_still_finds_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_loader("plant_faults", SourceFileLoader("plant_faults", str(ROOT / "scripts/plant_faults")))
    assert spec is not None
    assert spec.loader is not None
    program = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "plant_faults", program)  # its dataclass looks there
    spec.loader.exec_module(program)
    assert len(program.FAULTS) >= 30
    times = {one.name: (ROOT / one.path).read_text(encoding="utf-8").count(one.right) for one in program.FAULTS}
    assert {name: n for name, n in times.items() if n != 1} == {}


def test_parts_that_are_stored_are_left_out_unless_they_are_named_or_always_wanted() -> None:
    results: dict[str, Any] = {"b": {}, "c": {}}
    assert list(chosen("abc", None, results)) == ["a"]
    assert list(chosen("abc", [], results, again="c")) == ["a", "c"]
    assert list(chosen("abc", ["b"], results, again="c")) == ["b"]


def test_a_part_is_merged_into_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "results" / "one.json"
    assert stored(path) == {}
    for name in ("a", "b"):
        merge(stored(path) | {name: name}, name, path)
    assert (stored(path)["a"], stored(path)["b"]) == ("a", "b")
    assert stored(path)["ran"].keys() == {"a", "b"}
