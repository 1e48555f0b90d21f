"""A stored study of two runs whose gold is known, and people who score its answers by it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from miner.cli.entry import app
from miner.errors import RmMinerError
from miner.measuring.overopt.label_files import answer_key, write_sheet
from miner.measuring.overopt.label_sheet import label_sheet
from miner.measuring.overopt.log import RunInfo, RunLog, read_samples
from miner.measuring.overopt.measuring import NAN, SampleRow
from miner.measuring.overopt.prompts import keep_asked
from miner.testing import toy_prompts

PROMPTS = toy_prompts(24)
STEPS = range(0, 60, 5)
STARTS = ("=1+1 ", "+", "-", "@SUM ", "\t=", "", "\u202e", "“", "a\n=b ", " ")  # what mined text may begin with
QUOTE = '"'


def mined(seed: int, n: int, step: int) -> str:
    """Another text for every run, prompt and step, such as a spreadsheet would like to act on."""
    return f"{STARTS[n % len(STARTS)]}{seed}; {n}, {'' if n % 2 else QUOTE}{step}"


def gaming_rows(seed: int) -> list[SampleRow]:
    """Gold falls from step 25 on, while the proxy climbs."""
    rng = np.random.default_rng(seed)
    return [
        SampleRow(
            step=step, prompt_id=prompt.prompt_id, response=mined(seed, n, step),
            proxy=0.005 * step + 0.06 * max(0, step - 25) + rng.normal(),
            gold=0.3 + 0.001 * min(step, 25) - 0.008 * max(0, step - 25) + 0.1 * rng.normal(),
            second=rng.normal(), kl=0.1 * step, entropy=3.0, length=5.0, repetition=0.0,
            surprise=4 + 0.3 * rng.normal(), latent=1.0, nonsense=NAN,
        )
        for step in STEPS
        for n, prompt in enumerate(PROMPTS)
    ]  # fmt: skip


def store(folder: Path, rows: list[SampleRow]) -> None:
    log = RunLog(folder)
    log.samples = rows
    log.write_rows()
    log.write_info(RunInfo(name=folder.name, method="rl", settings={}, models={}, bar={}, status="done"))
    keep_asked(folder, PROMPTS)


def cells(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return [json.loads(line) for line in text.splitlines()]


def stored_gold(study: Path) -> dict[tuple[str, str], float]:
    rows = [row for run in sorted(study.glob("rl-*")) for row in read_samples(run)]
    return {answer_key(row.prompt_id, row.response): row.gold for row in rows}


def fill(path: Path, score: Callable[[tuple[str, str]], float | None], **dialect: Any) -> Path:
    """As somebody would who scores by ``score``; saved in the ``dialect`` of their spreadsheet, without our mark."""
    rows = cells(path)
    for row in rows:
        given = score(answer_key(row["prompt_id"], row["response"]))
        row["score"] = "" if given is None else repr(given)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), **dialect)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sheet(study: Path, path: Path, n_prompts: int | None = None) -> Path:
    write_sheet(path, label_sheet(study, n_prompts=n_prompts).rows)
    return path


def invoke(*arguments: object) -> Any:
    done = CliRunner().invoke(app, ["overopt", *map(str, arguments)])
    if isinstance(done.exception, RmMinerError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done
