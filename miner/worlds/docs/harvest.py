"""Harvests the docstrings of the running interpreter's standard library.

Importing the whole library has side effects (signal handlers, GUI probes, deprecation warnings), so it happens in a
subprocess: ``python -m miner.worlds.docs.harvest OUT.jsonl`` imports nothing of ours but this file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import json
import pkgutil
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

SKIPPED = frozenset(
    {"antigravity", "this", "idlelib", "test", "turtledemo", "lib2to3", "ensurepip", "turtle", "msilib"}
)
MIN_WORDS, MAX_WORDS = 4, 40
DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocEntry:
    """One documented object: its dotted name, its summary, and what else its docstring says in whole sentences."""

    name: str
    module: str  # top level
    kind: str
    summary: str
    sentences: tuple[str, ...]


def harvest(target: Path) -> None:
    """Write one JSON line per documented object to ``target``, in a subprocess of the running interpreter.

    Raises:
        RuntimeError: docstrings were stripped (``-OO``), or the subprocess failed; the message holds its last line.
    """
    if sys.flags.optimize >= 2:
        raise RuntimeError("docstrings are stripped under -OO; run Python without it")
    command = [sys.executable, "-I", "-W", "ignore", str(Path(__file__)), str(target)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise RuntimeError(f"harvesting docstrings failed: {last}")


def load(path: Path) -> list[DocEntry]:
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [DocEntry(**{**row, "sentences": tuple(row["sentences"])}) for row in rows]


def modules() -> Iterator[ModuleType]:
    """Every importable standard-library module, sub-modules included."""
    for top in sorted(sys.stdlib_module_names - SKIPPED):
        if top.startswith("__"):
            continue
        module = quiet_import(top)
        if module is None:
            continue
        yield module
        for info in pkgutil.walk_packages(getattr(module, "__path__", []), prefix=f"{top}.", onerror=lambda _: None):
            if not re.search(r"\.(tests?|__main__|idle_test)(\.|$)", info.name) and (sub := quiet_import(info.name)):
                yield sub


def quiet_import(name: str) -> ModuleType | None:
    """The module, or None where this platform lacks it (a Windows module on Linux raises on import)."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except (Exception, SystemExit):  # any import error at all means: not here
        return None


def entries() -> Iterator[DocEntry]:
    """Documented functions, classes and methods, each docstring once, first owner in name order wins."""
    seen: set[str] = set()
    for module in modules():
        top = module.__name__.partition(".")[0]
        for name, value in documented(module):
            summary, *rest = sentences(inspect.cleandoc(value.__doc__ or "")) or [""]
            if summary and summary not in seen:
                seen.add(summary)
                kind = "class" if inspect.isclass(value) else "function"
                yield DocEntry(name=name, module=top, kind=kind, summary=summary, sentences=tuple(rest))


def documented(module: ModuleType) -> Iterator[tuple[str, object]]:
    """(dotted name, object) of the public members of ``module`` and of its classes that say something."""
    for name, value in sorted(vars(module).items(), key=lambda item: item[0]):
        home = getattr(value, "__module__", None) or module.__name__
        if name.startswith("_") or home.partition(".")[0] != module.__name__.partition(".")[0]:
            continue
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        if isinstance(value.__doc__, str):
            yield f"{module.__name__}.{name}", value
        if inspect.isclass(value):
            for member, inner in sorted(vars(value).items(), key=lambda item: item[0]):
                if not member.startswith("_") and isinstance(getattr(inner, "__doc__", None), str):
                    yield f"{module.__name__}.{name}.{member}", inner


def sentences(docstring: str) -> list[str]:
    """Whole English sentences of a docstring, in order, signatures, doctests, lists and markup left out."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", docstring):
        lines = paragraph.splitlines()
        if any(line.lstrip().startswith((">>>", "...", "|", "+-", "==", "--", "::")) for line in lines):
            continue
        text = re.sub(r"\s+", " ", " ".join(lines)).strip()
        text = re.sub(r"^[\w.]+\([^)]*\)\s*(->\s*[^-–:]*?)?\s*(--|-|–|:)?\s*(?=[A-Z])", "", text)
        text = re.sub(r"``?([^`]*)``?", r"\1", text)
        text = re.sub(r":\w+:", "", text)
        found += filter(is_english, re.split(r"(?<=[.!?])\s+(?=[A-Z])", text))
    return found


def is_english(sentence: str) -> bool:
    """A capital, a closing mark, a sensible length, and mostly plain words."""
    words = sentence.split()
    plain = sum(bool(re.fullmatch(r"[A-Za-z][a-z'-]*[,.;:!?]?", word)) for word in words)
    return (
        MIN_WORDS <= len(words) <= MAX_WORDS
        and sentence[0].isupper()
        and sentence[-1] in ".!?"
        and sentence.isprintable()
        and plain >= 0.6 * len(words)
    )


def package_sentences(package: str) -> list[str]:
    """The English sentences of an installed package's docstrings, read from its source files without importing it.

    Empty where the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return []
    files = sorted(path for path in Path(spec.origin).parent.rglob("*.py") if "test" not in path.as_posix())
    docstrings = (doc for file in files for doc in DOCSTRING.findall(file.read_text(encoding="utf-8", errors="ignore")))
    return [sentence for doc in docstrings for sentence in sentences(inspect.cleandoc(doc))]


def main(target: str) -> None:
    lines = [json.dumps(asdict(entry), ensure_ascii=False) for entry in entries()]
    Path(target).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
