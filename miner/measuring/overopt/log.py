"""A run's folder: what it is, every training step, every answer that was measured. Parquet, replaced in one step.

``run.json`` says with what the run was made and how it ended; ``steps.parquet`` has one row per training step,
``samples.parquet`` one per measured answer. All analyses start from these files and need no model.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from miner.errors import ConfigError, DataError, ResumeError
from miner.files import replace_table, replace_text
from miner.measuring.overopt.results import RunInfo
from miner.measuring.overopt.rows import SampleRow

STUDY = "overopt"
RUN, STEPS, SAMPLES = "run.json", "steps.parquet", "samples.parquet"
MEASURES = tuple(f.name for f in dataclasses.fields(SampleRow) if f.name not in ("step", "prompt_id", "response"))
SAMPLES_SCHEMA = pa.schema(
    [("step", pa.int32()), ("prompt_id", pa.string()), ("response", pa.string())]
    + [(name, pa.float32()) for name in MEASURES]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One training step: batch means of the RM's margin, of nats from the reference and of answers' tokens."""

    step: int
    reward: float
    kl: float
    tokens: float
    seconds: float


STEPS_SCHEMA = pa.schema(
    [("step", pa.int32())] + [(f.name, pa.float32()) for f in dataclasses.fields(StepRow) if f.name != "step"]
)


class RunLog:
    """Reads and writes the folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[StepRow] = []
        self.samples: list[SampleRow] = []

    def exists(self) -> bool:
        return (self.folder / RUN).exists()

    def info(self) -> RunInfo:
        """Raises: DataError: the folder holds no run that can be read."""
        try:
            return RunInfo(**json.loads((self.folder / RUN).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{self.folder / RUN} is no run of rmminer overopt: {error}") from error

    def open(self, info: RunInfo, *, from_step: int) -> None:
        """Start the run, or go on behind ``from_step``: later rows are dropped and made again."""
        if self.exists():
            self.steps = [row for row in read_steps(self.folder) if row.step <= from_step]
            self.samples = [row for row in read_samples(self.folder) if row.step <= from_step]
        self.write_info(info)

    def write_info(self, info: RunInfo) -> None:
        replace_text(self.folder / RUN, json.dumps(dataclasses.asdict(info), indent=1) + "\n")

    def write_rows(self) -> None:
        replace_table(self.folder / STEPS, _table(self.steps, STEPS_SCHEMA))
        replace_table(self.folder / SAMPLES, samples_table(self.samples))


def study_name(round_number: int) -> str:
    """The folder of a study in its campaign's: runs against a patched RM lie apart from those against the RM given."""
    return STUDY if round_number == 0 else f"{STUDY}-round{round_number}"


def measured_runs(folder: Path) -> dict[Path, list[SampleRow]]:
    """Every run of a study that has measured something, by its folder.

    Raises:
        DataError: there is none.
    """
    found = {path.parent: read_samples(path.parent) for path in sorted(folder.glob(f"*/{RUN}"))}
    if not any(found.values()):
        raise DataError(f"{folder} holds no measured answers. Make some: rmminer overopt --out {folder.parent}")
    return {run: rows for run, rows in found.items() if rows}


def require_study(folder: Path) -> None:
    """Check a study that is to be compared with.

    Raises:
        ConfigError: there is no such folder, or it holds no finished run.
        DataError: a run cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"no such folder: {folder}. --against wants a study's: RUN/{STUDY}")
    runs = sorted(folder.glob(f"*/{RUN}"))
    if not runs:
        inside = [run.parent.parent for run in sorted(folder.glob(f"*/*/{RUN}"))]
        near = [folder.parent] if (folder / RUN).exists() else inside
        hint = f"did you mean {near[0]}?" if near else f"--against wants a study's folder: RUN/{STUDY}"
        raise ConfigError(f"{folder} holds no runs; {hint}")
    if all(RunLog(run.parent).info().status == "running" for run in runs):
        raise ConfigError(
            f"{folder} holds no finished run to compare with. Finish one: rmminer overopt, as it was started"
        )


def require_same(ours: RunInfo, stored: RunInfo, folder: Path) -> None:
    """Raises: ResumeError: the run that ``folder`` holds was made with other models or settings than this one."""
    for what, new, old in (
        ("models", ours.models, stored.models),
        ("settings", _fixed(ours.settings), _fixed(stored.settings)),
    ):
        if changed := [key for key in new if new[key] != old.get(key)]:
            raise ResumeError(
                f"{folder} was made with {what} {changed[0]} = {old.get(changed[0])!r}, not "
                f"{new[changed[0]]!r}. Use another --out, or the same values"
            )


def _fixed(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("steps", "max_kl")}


def read_samples(folder: Path) -> list[SampleRow]:
    """Every measured answer of a run; none where it has measured none yet."""
    path = folder / SAMPLES
    return [SampleRow(**row) for row in _read(path)] if path.exists() else []


def read_steps(folder: Path) -> list[StepRow]:
    path = folder / STEPS
    return [StepRow(**row) for row in _read(path)] if path.exists() else []


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, page_checksum_verification=True).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path}: {error}. Delete the run's folder and run it again") from error
    return [{key: math.nan if value is None else value for key, value in row.items()} for row in rows]


def samples_table(rows: Sequence[SampleRow]) -> pa.Table:
    """Measures to four significant decimals: what is behind them is sampling noise, and they would not compress."""
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in SAMPLES_SCHEMA.names}
    columns |= {name: np.round(np.array(columns[name], dtype=np.float64), 3).astype(np.float32) for name in MEASURES}
    return pa.table(columns, schema=SAMPLES_SCHEMA)


def _table(rows: Sequence[StepRow], schema: pa.Schema) -> pa.Table:
    return pa.table({name: [getattr(row, name) for row in rows] for name in schema.names}, schema=schema)
