"""Stored runs small enough to be committed: what the analyses read, and a few answers a step to look at."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from miner.files import replace_table
from miner.measuring.overopt.log import RUN, SAMPLES, read_samples, samples_table
from miner.measuring.overopt.study import run_name
from scripts.policy_bench.runs import specs

ANSWERS_KEPT = 3  # of each measured step; the text of the others is left out, their measures stay


def keep(runs: Path, results: Path) -> None:
    """Copy every finished run of ``runs`` to ``results``."""
    for spec in specs(quick=False):
        name = f"{spec.target}/{run_name(spec.kl, spec.seed)}"
        source, target = runs / name, results / name
        if not (source / SAMPLES).exists() or not (source / RUN).exists():
            continue
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / RUN, target / RUN)
        rows = read_samples(source)
        order = {prompt: at for at, prompt in enumerate(sorted({row.prompt_id for row in rows}))}
        short = []
        for row in sorted(rows, key=lambda row: (row.prompt_id, row.step)):
            number = order[row.prompt_id]
            response = row.response if number < ANSWERS_KEPT else ""
            short.append(replace(row, prompt_id=f"{number:03d}", response=response))
        replace_table(target / SAMPLES, samples_table(short))
