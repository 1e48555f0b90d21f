"""What a study's runs show, as records: nothing here computes, reads or writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from miner.measuring.overopt.accuracy import Judged
from miner.measuring.overopt.comparison import Comparison
from miner.measuring.overopt.fits import Estimate, Fit
from miner.measuring.overopt.labels import Labelled
from miner.measuring.overopt.log import RunInfo
from miner.measuring.overopt.onset import GoldOnset


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Means at one measured step of a run; None where it was not measured. Ends are of 95 % intervals over prompts."""

    step: int
    proxy: float | None
    gold: float | None
    second: float | None
    kl: float | None
    entropy: float | None
    length: float | None
    repetition: float | None
    surprise: float | None
    latent: float | None
    nonsense: float | None
    proxy_low: float | None = None
    proxy_high: float | None = None
    gold_low: float | None = None
    gold_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One prompt's answer at a step. The text is mined: show it through ``safe_text`` alone."""

    step: int
    when: str
    prompt_id: str
    response: str
    proxy: float
    gold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run: its curve, its law, when it starts to game with gold and without."""

    info: RunInfo
    points: tuple[Point, ...]
    fit: Fit | None
    with_gold: GoldOnset
    judged: Judged | None
    best_step: int | None
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSummary:
    """Best-of-n: expected proxy and gold of the chosen sample by n, with the law."""

    ns: tuple[int, ...]
    kl: tuple[float, ...]
    proxy: tuple[Estimate, ...]
    gold: tuple[Estimate, ...]
    fit: Fit | None
    n_prompts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study's folder and what its runs show; ``labelled`` where the gold is people's labels and not the runs' own."""

    folder: Path
    runs: tuple[RunSummary, ...]
    pool: PoolSummary | None
    comparison: Comparison | None
    notes: tuple[str, ...]
    labelled: Labelled | None = None
