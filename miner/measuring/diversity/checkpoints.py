"""Checkpoints of a training run as sides of a comparison, with what the run knows of them already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from miner.errors import ConfigError, DataError
from miner.files import read_rows
from miner.measuring.diversity.policy import MeasuredSource
from miner.measuring.diversity.response_sets import read_texts

T = TypeVar("T")


class CheckpointRow(BaseModel):
    """A checkpoint as a file names it: a policy, or what it wrote."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    label: str
    policy: str | None = None
    texts: str | None = None
    sqrt_kl: float | None = None
    gold: float | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> CheckpointRow:
        if (self.policy is None) == (self.texts is None):
            raise ValueError('give "policy" or "texts", one of the two')
        return self


def read_checkpoints(path: Path, *, samples: int, seed: int) -> list[MeasuredSource]:
    """Rows of ``label`` with ``policy`` (a folder) or ``texts`` (a JSONL file), ``sqrt_kl`` and ``gold`` where known.

    The first row is what the others are compared with. Relative places are relative to the file.

    Raises:
        DataError: no such file, no row in it, or a row that is none.
    """
    if not path.is_file():
        raise DataError(
            f"cannot read the checkpoints {path}: no such file. Expected JSONL, or a run's folder of rmminer overopt"
        )
    expected = '{"label": "…", "policy": FOLDER or "texts": FILE, "sqrt_kl": …, "gold": …}'
    found = [_source(row, path.parent, samples, seed) for row in read_rows(path, CheckpointRow, expected)]
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


def _source(row: CheckpointRow, folder: Path, samples: int, seed: int) -> MeasuredSource:
    if row.texts is not None:
        response_sets = read_texts(folder / Path(row.texts).expanduser(), samples=samples, seed=seed)
        return MeasuredSource(label=row.label, response_sets=response_sets, sqrt_kl=row.sqrt_kl, gold=row.gold)
    local = folder / Path(str(row.policy)).expanduser()
    policy = str(local) if local.exists() else row.policy
    return MeasuredSource(label=row.label, policy=policy, sqrt_kl=row.sqrt_kl, gold=row.gold)
