"""Who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "corpus": {"corpus"},
    "attacks": {"attacks", "corpus.records"},
    "miner": {"miner", "attacks", "corpus"},
}
OURS = ("attacks", "corpus", "miner", "tests")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.split(".")[0] in OURS}


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_they_may(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imports_of(path):
            permitted = any(name == prefix or name.startswith(f"{prefix}.") for prefix in ALLOWED[package])
            assert permitted, f"{path.relative_to(ROOT)} imports {name}"


def test_attacks_and_corpus_load_without_models() -> None:
    paths = [*(ROOT / "attacks").rglob("*.py"), *(ROOT / "corpus").rglob("*.py")]
    assert len(paths) > 30
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
        names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {name.split(".")[0] for name in names} & {"torch", "transformers"}, path


STEPS = {"os.replace", "os.rename", "os.link", "os.symlink", "os.fsync", "os.open", "os.kill", "os.fork", ".rename"}
PLACES: dict[str, set[str]] = {
    "corpus/durable.py": {"os.replace", "os.rename", "os.fsync", "os.open"},
    "corpus/verification.py": {".rename"},  # sets aside under a name that nobody has
    "miner/cli/corpus_verbs.py": {"os.link"},  # with a copy behind it
}


@pytest.mark.parametrize("package", [*ALLOWED, "scripts"])
def test_what_systems_do_differently_is_done_in_one_place(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        called = (
            node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        )
        attributes = {ast.unparse(one) for one in called if isinstance(one, ast.Attribute)}
        names = {name if name.startswith("os.") else f".{name.rpartition('.')[2]}" for name in attributes}
        place = path.relative_to(ROOT).as_posix()
        assert names & STEPS <= PLACES.get(place, set()), f"{place}: write with corpus.durable or miner.files"
