"""The onset with gold on made-up curves whose truth is known: how often noise is called gaming, and how well a planted
bend is placed. Needs no model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.rows import NAN, SampleRow
from miner.statistics import rate

EVERY, PROMPTS = 4, 48  # as in the stored runs
WIDTH = 24  # steps from the bend until gold is gone
NOISE = 0.07  # of one answer's gold, standard deviation
BENDS = (10, 14, 22, 30, 40)


def planted(*, runs: int) -> dict[str, Any]:
    """Shares of ``runs`` flat curves called gaming, short and long; of planted bends those inside their interval."""
    rng = np.random.default_rng(0)
    flat = {n: [bool(gold_onset(run(None, n, rng)).games) for _ in range(runs)] for n in (19, 51)}
    found: dict[str, Any] = {f"flat gold games, {n} measurements": asdict(rate(games)) for n, games in flat.items()}
    for at in BENDS:
        onsets = [told.onset for told in (gold_onset(run(at, 19, rng)) for _ in range(runs)) if told.onset is not None]
        found[f"bend at {at}"] = {
            "placed": len(onsets),
            "mean": float(np.mean([one.bend.step for one in onsets])),
            "covered": asdict(rate([one.low <= at <= one.high for one in onsets])),
            "width": float(np.median([one.high - one.low for one in onsets])),
        }
    return found


def run(at: int | None, n_steps: int, rng: np.random.Generator, *, kind: str = "gaming") -> Curves:
    """From ``at``, over ``WIDTH`` steps, the proxy rises by two and gold is lost ("gaming"), or won ("honest"), or lost
    while the proxy climbs straight on ("unbent"); with None nothing happens."""
    steps, own = EVERY * np.arange(n_steps), 0.3 * rng.normal(size=PROMPTS)
    moved = np.zeros(n_steps) if at is None else np.clip((steps - at) / WIDTH, 0, 1)
    bends, lost = 0 if kind == "unbent" else moved, -moved if kind == "honest" else moved
    climb = 0.03 if kind == "unbent" else 0.004
    gold = np.maximum(0, 0.08 * (1 - lost) + NOISE * rng.normal(size=(PROMPTS, n_steps)))
    proxy = climb * steps + 2 * bends + own[:, None] + 0.5 * rng.normal(size=(PROMPTS, n_steps))
    return Curves(
        [
            SampleRow(
                step=int(step), prompt_id=f"{prompt:02d}", response="", proxy=proxy[prompt, k], gold=gold[prompt, k],
                second=NAN, kl=float(step), entropy=NAN, length=NAN, repetition=NAN, surprise=NAN, latent=NAN,
                nonsense=NAN,
            )
            for k, step in enumerate(steps)
            for prompt in range(PROMPTS)
        ]
    )  # fmt: skip
