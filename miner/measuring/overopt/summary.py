"""What a study's stored runs show: recomputed from Parquet, no model needed. ``overopt/summary.json`` for programs,
``summary-people.json`` where people's scores are the gold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np

from miner.errors import ConfigError, DataError
from miner.files import replace_text
from miner.judging.people_gold import PeoplesScores
from miner.measuring.best_of_n import best_of_n_kl, curves, powers
from miner.measuring.overopt.alarm import first_alarm
from miner.measuring.overopt.bands import ends_at
from miner.measuring.overopt.changepoint import MIN_PROMPTS
from miner.measuring.overopt.comparison import compare_studies, first_round
from miner.measuring.overopt.curves import Curves, smoothed
from miner.measuring.overopt.fits import fit
from miner.measuring.overopt.log import MEASURES, RunLog, measured_runs, read_samples, require_study
from miner.measuring.overopt.notes import run_notes
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.people import scored_by_people, with_peoples_gold
from miner.measuring.overopt.pools import POOL, read_pools
from miner.measuring.overopt.results import (
    Fit,
    GoldOnset,
    PoolSummary,
    RunInfo,
    RunSummary,
    ShownAnswer,
    StepMeans,
    StudySummary,
    ValueWithInterval,
)
from miner.measuring.overopt.rows import NAN, SampleRow
from miner.statistics import cluster_bootstrap

SHOWN = 3


def summarise_study(folder: Path, people: PeoplesScores | None = None, *, against: Path | None = None) -> StudySummary:
    """Every run that ``folder`` holds, and the pools where there are some; written to ``summary.json`` there. Runs that
    have measured nothing are named in a note.

    With ``people``, their scores are the gold; pools, which nobody scores, are left out. Compared with the study in
    ``against``; left out, runs against a patched RM with those against the RM as given.

    Raises:
        DataError: it holds neither, or people scored none of its answers; or ``against`` cannot be read.
        ConfigError: ``against`` is no study, or nothing in it can be compared with this one.
    """
    if against is not None:
        require_study(against)
    scored = scored_by_people(chain.from_iterable(measured_runs(folder).values()), people) if people else None
    runs, unmeasured = _runs(folder, people)
    pool = _pool(folder) if people is None else None
    if not runs and pool is None:
        what = f"no run that can be looked at: {'; '.join(unmeasured)}" if unmeasured else "no runs"
        raise DataError(f"{folder} holds {what}. Make some: rmminer overopt --out {folder.parent}")
    notes = [*run_notes(runs), *unmeasured]
    if scored is not None:
        notes += scored.notes
        notes += ["best of n is left out: people score none of its samples"] if (folder / POOL).exists() else []
    comparison = None
    if (other := against or first_round(folder)) is not None:
        try:
            comparison = compare_studies(other, folder, people)
        except (ConfigError, DataError) as error:
            if against is not None:
                raise
            notes.append(f"not compared with the RM as given: {error}")
    summary = StudySummary(
        folder=folder, runs=tuple(runs), pool=pool, comparison=comparison, notes=tuple(notes), people=scored
    )
    stored = {key: value for key, value in asdict(summary).items() if key != "folder"}
    name = "summary-people.json" if people else "summary.json"
    replace_text(folder / name, json.dumps(_finite(stored), indent=1) + "\n")
    return summary


def _runs(folder: Path, people: PeoplesScores | None) -> tuple[list[RunSummary], list[str]]:
    """The runs that have measured something, and a note for each of the others."""
    found, notes = [], []
    for path in sorted(folder.glob("*/run.json")):
        info, rows = RunLog(path.parent).info(), read_samples(path.parent)
        if rows:
            found.append(run_summary(info, rows, people))
        else:
            notes.append(f"{info.name} has measured nothing and is left out: {info.reason or 'it is not finished'}")
    return found, notes


def run_summary(info: RunInfo, rows: Sequence[SampleRow], people: PeoplesScores | None = None) -> RunSummary:
    """One run: its curves, the onset with gold, the alarm without, and what the policy said on the way."""
    run = Curves(with_peoples_gold(rows, people) if people else rows)
    floor = None if people else info.floor.get("constant")
    with_gold, whole = gold_onset(run, floor=floor), run.whole("gold")
    rewarded = run.known("proxy")
    is_decidable = len(whole.prompts) >= min(MIN_PROMPTS, len(run.prompts))
    seen, best = whole if is_decidable else run, _best_step(whole) if is_decidable else None
    gold = dict(zip(seen.steps, seen.mean("gold"), strict=True))
    return RunSummary(
        info=info,
        points=tuple(_point(run, seen, at, gold.get(step, NAN)) for at, step in enumerate(run.steps)),
        fit=_law(whole) if is_decidable else None,
        with_gold=with_gold,
        alarm=first_alarm(run.steps[rewarded], run.mean("proxy")[rewarded]),
        best_step=best,
        examples=tuple(_examples(seen, with_gold, best)),
    )


def _best_step(whole: Curves) -> int | None:
    if len(whole.steps) < 3:
        return None
    smooth = smoothed(whole.mean("gold"))
    return int(whole.steps[int(smooth.argmax())])


def _law(whole: Curves) -> Fit | None:
    kl = whole.by_prompt("kl")
    return None if np.isnan(kl).any() else fit("rl", np.sqrt(np.maximum(kl, 0)), whole.by_prompt("gold"))


def _point(run: Curves, seen: Curves, at: int, gold: float) -> StepMeans:
    """Means over the prompts of ``run``, gold's interval over those of ``seen``."""
    values = {name: run.mean(name)[at] for name in StepMeans.__dataclass_fields__ if name in MEASURES} | {"gold": gold}
    values |= ends_at(run, seen, float(run.steps[at]))
    return StepMeans(step=int(run.steps[at]), **{k: float(v) if np.isfinite(v) else None for k, v in values.items()})


def _examples(run: Curves, with_gold: GoldOnset, best: int | None) -> list[ShownAnswer]:
    """The same few prompts at the start, at gold's best step, at the onset and at the end."""
    moments = {"start": run.steps[0], "best gold": best, "end": run.steps[-1]}
    if with_gold.onset is not None:
        moments["onset"] = run.steps[int(np.abs(run.steps - with_gold.onset.bend.step).argmin())]
    found = []
    for when, step in sorted(((w, s) for w, s in moments.items() if s is not None), key=lambda one: float(one[1])):
        here = {row.prompt_id: row for row in run.rows if row.step == int(step)}
        for prompt_id in run.prompts[:SHOWN]:
            row = here[prompt_id]
            gold = row.gold if np.isfinite(row.gold) else None
            found.append(
                ShownAnswer(
                    step=int(step), when=when, prompt_id=prompt_id, response=row.response, proxy=row.proxy, gold=gold
                )
            )
    return found


def _pool(folder: Path) -> PoolSummary | None:
    pools = read_pools(folder)
    if not pools:
        return None
    ns = powers(min(len(pool.proxy) for pool in pools.values()))
    proxy, gold = curves(list(pools.values()), ns)
    if not len(gold):
        return None
    distance = np.sqrt([best_of_n_kl(n) for n in ns])
    return PoolSummary(
        ns=ns,
        kl=tuple(best_of_n_kl(n) for n in ns),
        proxy=_means(proxy),
        gold=_means(gold),
        fit=fit("bon", distance, gold),
        n_prompts=len(gold),
    )


def _means(by_prompt: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> tuple[ValueWithInterval, ...]:
    low, high = cluster_bootstrap(lambda drawn: drawn @ by_prompt / len(by_prompt), len(by_prompt), resamples=1000)
    value = by_prompt.mean(0)
    return tuple(
        ValueWithInterval(value=float(v), low=float(a), high=float(b)) for v, a, b in zip(value, low, high, strict=True)
    )


def _finite(value: object) -> object:
    """NaN and infinity as null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
