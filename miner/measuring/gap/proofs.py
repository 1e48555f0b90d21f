"""What exists in the running interpreter: the proof that a name or module swap is false.

Importing the whole library has side effects, so it happens in a subprocess: ``python -m miner.measuring.gap.proofs``
imports nothing of ours but this file.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

Place = tuple[str, str]  # module, and the dotted name within it
TIMEOUT_S = 300


def places(names: Sequence[str]) -> list[Place | None]:
    """Per dotted name its module, the longest prefix that imports, and the rest; None where it leads nowhere."""
    return [None if found is None else (found[0], found[1]) for found in _ask("places", list(names))]


def exist(asked: Sequence[Place]) -> list[bool]:
    """Per (module, name): is there such an object? True also where the module does not import: that proves nothing."""
    return [bool(found) for found in _ask("exist", [list(place) for place in asked])]


def _ask(what: str, values: list[object]) -> list[list[str] | None]:
    command = [sys.executable, "-I", "-W", "ignore", str(Path(__file__))]
    request = json.dumps([what, values])
    done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise RuntimeError(f"looking up objects of the standard library failed: {last}")
    answer: list[list[str] | None] = json.loads(done.stdout)
    return answer


def place_of(name: str) -> Place | None:
    parts = name.split(".")
    for n in range(len(parts) - 1, 0, -1):
        module = import_quietly(".".join(parts[:n]))
        if module is not None:
            rest = ".".join(parts[n:])
            return (module.__name__, rest) if reaches(module, rest) else None
    return None


def exists(module_name: str, name: str) -> bool:
    module = import_quietly(module_name)
    return module is None or reaches(module, name)


def reaches(module: ModuleType, name: str) -> bool:
    """Whether the dotted name leads to an object, or to a sub-module of that name."""
    value: object = module
    for part in name.split("."):
        if not hasattr(value, part):
            return import_quietly(f"{module.__name__}.{name}") is not None
        value = getattr(value, part)
    return True


def import_quietly(name: str) -> ModuleType | None:
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except (Exception, SystemExit):  # any import error at all means: not here
        return None


def main() -> None:
    what, values = json.load(sys.stdin)
    answers = [place_of(one) if what == "places" else exists(*one) for one in values]
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
