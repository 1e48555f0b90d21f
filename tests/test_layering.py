"""Who may import whom. Imports inside functions and those for type checkers count like any other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.sources import ROOT, sources_of

# Lowest first: what each may import. What is ours and not listed, it may not.
ALLOWED = {
    "corpus": {"corpus"},
    "attacks": {"attacks", "corpus.records"},
    "miner": {"miner", "attacks", "corpus"},
    "scripts": {"scripts", "miner", "attacks", "corpus"},
    "tests": {"tests", "scripts", "miner", "attacks", "corpus"},
}
PRODUCT = ("corpus", "attacks", "miner")

# The rooms of ``miner``, lowest first. A file may import files of its own room and of lines above; rooms of one line
# know nothing of each other. The longest name that fits a file says where it stands.
LAYERS = """
errors
files progress statistics
safe_text
config
checkpoints data
rewards.base
rewards.text language_models testing
rewards.compute judging.checks
rewards.adapters judging
rewards.loading rewards.remote searching
rewards patching
worlds.world
worlds.docs
worlds
campaigns
campaigns.tuning measuring
measuring.doctor measuring.overopt measuring.triage
measuring.benchmark measuring.diversity
measuring.measurement_inputs
measuring.diversity.run measuring.gap
reporting reviewing serving
cli
__init__
"""
LEVELS = {room: level for level, line in enumerate(LAYERS.split("\n")) for room in line.split()}

Arrows = dict[str, set[str]]


def imports_of(path: Path) -> Iterator[tuple[str, str | None]]:
    """(module, name) of every import, without a name where a whole module is imported."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def files_of(package: Path) -> dict[str, Path]:
    """The files by their name below the package: ``rewards.base``, ``rewards.__init__``."""
    return {".".join(path.relative_to(package).with_suffix("").parts): path for path in sorted(package.rglob("*.py"))}


def defining_file(files: dict[str, Path], module: str, name: str | None) -> str | None:
    """The file that an import leads to: what a package only hands on counts as the file that it takes it from."""
    below = module.partition(".")[2]
    as_module = ".".join(filter(None, (below, name)))
    if name and (as_module in files or f"{as_module}.__init__" in files):
        below, name = as_module, None
    if below in files:
        return below
    init = ".".join(filter(None, (below, "__init__")))
    if init not in files:
        return None
    for inner, handed_on in imports_of(files[init]):
        if name and handed_on == name and inner.split(".")[0] == module.split(".")[0]:
            return defining_file(files, inner, name)
    return init


def arrows_of(package: Path) -> Arrows:
    """Of every file the files that it imports."""
    files = files_of(package)
    arrows: Arrows = {}
    for name, path in files.items():
        ours = [one for one in imports_of(path) if one[0].split(".")[0] == package.name]
        arrows[name] = {found for one in ours if (found := defining_file(files, *one))} - {name}
    return arrows


def room_of(name: str) -> str:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if (room := ".".join(parts[:end])) in LEVELS:
            return room
    raise AssertionError(f"{name} stands in no room of LAYERS")


def against_the_layers(arrows: Arrows) -> set[tuple[str, str]]:
    return {
        (name, other)
        for name, others in arrows.items()
        for other in others
        if room_of(name) != room_of(other) and LEVELS[room_of(other)] >= LEVELS[room_of(name)]
    }


def circle_in(arrows: Arrows) -> list[str]:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def arrows() -> Arrows:
    return arrows_of(ROOT / "miner")


def test_no_file_imports_one_of_a_higher_layer(arrows: Arrows) -> None:
    assert len(arrows) > 200
    assert against_the_layers(arrows) == set()


def test_no_files_import_each_other_in_a_circle(arrows: Arrows) -> None:
    assert circle_in(arrows) == []


@pytest.mark.parametrize("room", LEVELS)
def test_every_room_of_the_list_is_there(arrows: Arrows, room: str) -> None:
    assert room in map(room_of, arrows)


@pytest.mark.parametrize(
    "line",
    [
        "from miner.cli.entry import main",
        "def f():\n    from miner.cli import main",
        "if TYPE_CHECKING:\n    import miner.cli.entry",
        "from miner.cli import entry as e",
    ],
)
def test_an_import_upwards_is_seen(tmp_path: Path, line: str) -> None:
    for name, text in {
        "cli/__init__.py": "from miner.cli.entry import main",
        "cli/entry.py": "from miner.data.rows import Row",
        "data/rows.py": line,
    }.items():
        (tmp_path / "miner" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "miner" / name).write_text(text, encoding="utf-8")
    arrows = arrows_of(tmp_path / "miner")
    assert against_the_layers(arrows) == {("data.rows", "cli.entry")}
    assert set(circle_in(arrows)) == {"data.rows", "cli.entry"}


def forbidden_imports(package: Path) -> set[tuple[str, str]]:
    """(file, module) of every import that ``ALLOWED`` does not list."""
    return {
        (path.relative_to(package).as_posix(), name)
        for path in sources_of(package)
        for name, _ in imports_of(path)
        if name.split(".")[0] in ALLOWED
        and not any(name == prefix or name.startswith(f"{prefix}.") for prefix in ALLOWED[package.name])
    }


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_they_may(package: str) -> None:
    assert sources_of(ROOT / package)
    assert forbidden_imports(ROOT / package) == set()


@pytest.mark.parametrize(
    ("package", "file", "module"),
    [
        ("scripts", "bench_corpus", "tests.corpus"),
        ("scripts", "drills/mining.py", "tests.searching"),
        ("miner", "cli/entry.py", "tests.conftest"),
        ("miner", "cli/entry.py", "scripts.drills"),
        ("attacks", "gcg.py", "scripts.drills"),
        ("attacks", "gcg.py", "corpus.segments"),
        ("corpus", "segments.py", "tests.corpus"),
        ("corpus", "segments.py", "miner.errors"),
    ],
)
def test_a_forbidden_import_is_seen(tmp_path: Path, package: str, file: str, module: str) -> None:
    path = tmp_path / package / file
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/usr/bin/env python3\ndef f():\n    from {module} import x\n", encoding="utf-8")
    assert forbidden_imports(tmp_path / package) == {(file, module)}


def imports_of_test_files(folder: Path) -> set[tuple[str, str]]:
    return {
        (path.name, module)
        for path in sources_of(folder)
        for module, name in imports_of(path)
        if module.split(".")[0] == "tests" and any(part.startswith("test_") for part in f"{module}.{name}".split("."))
    }


def test_what_tests_share_stands_in_no_file_of_tests() -> None:
    assert len(sources_of(ROOT / "tests")) > 200
    assert imports_of_test_files(ROOT / "tests") == set()


@pytest.mark.parametrize("line", ["from tests.data.test_files import zst", "from tests.data import test_files"])
def test_an_import_of_a_file_of_tests_is_seen(tmp_path: Path, line: str) -> None:
    (tmp_path / "test_one.py").write_text(line, encoding="utf-8")
    assert len(imports_of_test_files(tmp_path)) == 1


def test_every_import_of_ours_leads_to_a_file() -> None:
    paths = [path for package in ALLOWED for path in sources_of(ROOT / package)]
    assert len(paths) > 400
    for path in paths:
        for module, _ in imports_of(path):
            if module.split(".")[0] in ALLOWED:
                place = ROOT.joinpath(*module.split("."))
                assert place.with_suffix(".py").exists() or place.is_dir(), f"{path}: {module}"


def test_attacks_and_corpus_load_without_models() -> None:
    paths = [*(ROOT / "attacks").rglob("*.py"), *(ROOT / "corpus").rglob("*.py")]
    assert len(paths) > 30
    for path in paths:
        assert not {name.split(".")[0] for name, _ in imports_of(path)} & {"torch", "transformers"}, path


STEPS = {"os.replace", "os.rename", "os.link", "os.symlink", "os.fsync", "os.open", "os.kill", "os.fork", ".rename"}


PLACES: dict[str, set[str]] = {
    "corpus/durable.py": {"os.replace", "os.rename", "os.fsync", "os.open"},
    "corpus/verification.py": {".rename"},  # sets aside under a name that nobody has
    "corpus/scratch.py": {"os.link"},  # with a copy behind it
}


@pytest.mark.parametrize("package", [*PRODUCT, "scripts"])
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


def test_no_two_classes_of_the_product_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for package in PRODUCT:
        for name, path in files_of(ROOT / package).items():
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(name)
    assert len(places) > 300
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
