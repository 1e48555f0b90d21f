"""The checkpoints of a run of ``rmminer overopt``, behind the policy that it started from.

A run keeps its reference policy's fingerprint, not its place: whoever reads the checkpoints names the policy, and a
wrong one is refused.
"""

from __future__ import annotations

import math
from pathlib import Path

from miner.checkpoints.folders import resolve_folder
from miner.checkpoints.identity import fingerprint
from miner.errors import ConfigError, DataError
from miner.measuring.diversity.policy import MeasuredSource
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.log import RUN, RunLog, read_samples
from miner.measuring.overopt.results import RunInfo
from miner.measuring.overopt.rl import CHECKPOINTS, checkpoints_of


def run_info(folder: Path) -> RunInfo:
    """What the run was made with.

    Raises:
        DataError: the folder is no run's; where it holds some, they are named.
    """
    if not (folder / RUN).exists():
        runs = sorted(str(path.parent) for path in folder.glob(f"*/{RUN}"))
        instead = f"Give one of its runs: {', '.join(runs[:3])}" if runs else "Give OUT/overopt/rl-kl…-seed…"
        raise DataError(f"{folder} is no run of rmminer overopt: it has no {RUN}. {instead}")
    return RunLog(folder).info()


def run_steps(folder: Path) -> dict[int, Path | None]:
    """The run's checkpoints by step, and step 0, whose policy is elsewhere.

    Raises:
        DataError: no run, or one whose checkpoints were removed.
    """
    run_info(folder)
    checkpoints = checkpoints_of(folder)
    if not checkpoints:
        raise DataError(
            f"{folder} has no checkpoints (any more): expected {CHECKPOINTS}/checkpoint-N. "
            "Delete the run's folder and train it again: rmminer overopt"
        )
    return {0: None, **checkpoints}


def read_run(folder: Path, *, start: str) -> list[MeasuredSource]:
    """``start``, the reference policy, as step 0, and every checkpoint, with √KL and gold as the run measured them.

    Raises:
        DataError: as ``run_steps``.
        ConfigError: ``start`` is not the policy that the run started from.
        ModelError: no such policy.
    """
    info, steps = run_info(folder), run_steps(folder)
    began = info.models.get("policy")
    if began is not None and fingerprint(resolve_folder(start, None)) != began:
        raise ConfigError(
            f"{start} is not the policy that {info.name} started from (fingerprint {began[:12]}). "
            "Give that one: rmminer gap --policy FOLDER or rmminer diversity FOLDER"
        )
    sqrt_kl = {step: math.sqrt(max(kl, 0.0)) for step, kl in _by_step(folder, "kl").items()} | {0: 0.0}
    gold = _by_step(folder, "gold")
    return [
        MeasuredSource(label=f"step {step}", policy=str(place or start), sqrt_kl=sqrt_kl.get(step), gold=gold.get(step))
        for step, place in steps.items()
    ]


def _by_step(folder: Path, measure: str) -> dict[int, float]:
    """The mean of a measure at the steps that have one."""
    rows = read_samples(folder)
    if not rows:
        return {}
    curves = Curves(rows)
    means = zip(curves.steps.tolist(), curves.mean(measure).tolist(), strict=True)
    return {int(step): mean for step, mean in means if math.isfinite(mean)}
