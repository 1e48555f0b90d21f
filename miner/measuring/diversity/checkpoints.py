"""Checkpoints of a training run as sides of a comparison, with what the run knows of them already."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from miner.errors import ConfigError, DataError
from miner.measuring.diversity.policy import Source
from miner.measuring.diversity.writings import read_texts

T = TypeVar("T")


def read_checkpoints(path: Path, *, samples: int, seed: int) -> list[Source]:
    """Rows of ``label`` with ``policy`` (a folder) or ``texts`` (a JSONL file), ``sqrt_kl`` and ``gold`` where known.

    The first row is what the others are compared with. Relative places are relative to the file.

    Raises:
        DataError: no such file, no row in it, or a row that is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the checkpoints {path}: {error}. Expected JSONL, or a run's folder of rmminer overopt"
        ) from error
    found = [_source(path, n, line, samples, seed) for n, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise DataError(f'{path} names no checkpoint; expected JSONL rows such as {{"label": "…", "policy": FOLDER}}')
    return found


def evenly(sources: Sequence[T], at_most: int | None) -> list[T]:
    """At most so many of them (None: all), evenly spaced, the first and the last always.

    Raises:
        ConfigError: fewer than two are to be kept.
    """
    if at_most is None or at_most >= len(sources):
        return list(sources)
    if at_most < 2:
        raise ConfigError(f"a series has a first and a last checkpoint; got at most {at_most}, expected 2 or more")
    return [sources[at] for at in np.linspace(0, len(sources) - 1, at_most).round().astype(int)]


def _source(path: Path, number: int, line: str, samples: int, seed: int) -> Source:
    try:
        row: dict[str, Any] = json.loads(line)
        label = str(row["label"])
        sqrt_kl, gold = (None if row.get(key) is None else float(row[key]) for key in ("sqrt_kl", "gold"))
        if ("policy" in row) == ("texts" in row):
            raise ValueError('give "policy" or "texts", one of the two')
        place = str(row.get("policy", row.get("texts")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{path}, line {number}: expected {{"label": "…", "policy": FOLDER or "texts": FILE, "sqrt_kl": …, '
            f'"gold": …}}; {type(error).__name__}: {error}'
        ) from error
    if "texts" in row:
        writings = read_texts(path.parent / place, samples=samples, seed=seed)
        return Source(label=label, writings=writings, sqrt_kl=sqrt_kl, gold=gold)
    local = path.parent / place
    return Source(label=label, policy=str(local) if local.exists() else place, sqrt_kl=sqrt_kl, gold=gold)
