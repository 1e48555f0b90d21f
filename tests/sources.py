"""Our Python files."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def sources_of(folder: Path) -> list[Path]:
    """Every Python file, programs without ``.py`` among them."""
    programs = [path for path in folder.iterdir() if path.is_file() and not path.suffix]
    programs = [path for path in programs if "python" in path.read_text(encoding="utf-8").partition("\n")[0]]
    return sorted([*folder.rglob("*.py"), *programs])
