"""Parts of a benchmark: which are to be measured, and how each is merged into the stored results."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from miner.campaigns.usage import machine


def stored(path: Path) -> dict[str, Any]:
    """The results at ``path``, none where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def chosen(
    parts: Collection[str], only: Sequence[str] | None, results: dict[str, Any], *, again: Collection[str] = ()
) -> Iterator[str]:
    """The parts that ``only`` names, or without it those that ``results`` lacks and those of ``again``; each is said
    when its turn comes."""
    for name in parts:
        if name in only if only else name in again or name not in results:
            print(f"{name} …", file=sys.stderr, flush=True)
            yield name


def merge(results: dict[str, Any], name: str, path: Path) -> None:
    """Write ``results``, of which ``name`` is new, to ``path``, with the machine and the day."""
    results["machine"] = machine()
    results.setdefault("ran", {})[name] = time.strftime("%Y-%m-%d")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
