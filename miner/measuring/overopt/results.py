"""What a study's runs show, as records: nothing here computes, reads or writes, and ``summary.json`` holds them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from miner.statistics import Difference, Mean, Rate

Law = Literal["bon", "rl"]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a run was made with, and how it ended: ``status`` is "running", "done" or "stopped"; ``target`` names what
    was optimised against, ``names`` the policy, the gold and the second RM (runs of older versions lack them);
    ``floor`` is what gold gives to answers that answer nothing (``GoldFloor``); ``stopped_kl`` the mean KL that was
    over the limit, where that stopped it."""

    name: str
    method: str
    settings: dict[str, Any]
    models: dict[str, str]
    bar: dict[str, float]
    status: str = "running"
    reason: str = ""
    last_good: str = ""
    target: str = ""
    names: dict[str, str] = field(default_factory=dict)
    code_version: str = ""
    stopped_kl: float | None = None
    floor: dict[str, float] = field(default_factory=dict)

    def is_over(self, *, steps: int, max_kl: float) -> bool:
        """Whether it has done so many steps, or was stopped by what this limit would stop again."""
        if self.status == "stopped":
            return self.stopped_kl is None or self.stopped_kl > max_kl
        return self.status == "done" and int(self.settings.get("steps", 0)) >= steps


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMeans:
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
class ShownAnswer:
    """One prompt's answer at a step. The text is mined: show it through ``safe_text`` alone."""

    step: int
    when: str
    prompt_id: str
    response: str
    proxy: float | None
    gold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueWithInterval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """α and β of a law. ``peak`` is the d of the greatest gold where the law has one within the data, else None;
    ``residual`` the root mean square of what the law leaves."""

    law: Law
    alpha: ValueWithInterval
    beta: ValueWithInterval
    peak: float | None
    residual: float
    n_points: int
    n_prompts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """Two lines meeting at ``step``. ``gain`` is how much steeper the second is, ``t`` by how many of its standard
    errors."""

    step: float
    gain: float
    t: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BendInterval:
    """A bend, and where 95 % of resampled curves have theirs; ``support`` is the share of them that bend upwards."""

    bend: Bend
    low: float
    high: float
    support: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """The reward's bend, seen at the measured ``step``: it lies at step ``onset``."""

    step: float
    onset: float
    t: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """How far gold fell from its best window to its last, in gold's own unit, with its 95 % interval."""

    value: float
    low: float
    high: float
    peak_step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldOnset:
    """``games``: gold fell from its best. ``onset`` is the bend of its fall, None where it did not; ``reason`` says why
    nothing could be told, or no bend found where it games. ``n_prompts`` have gold at every step and were looked at,
    ``left_out`` have not."""

    games: bool | None
    onset: BendInterval | None
    fall: Fall | None
    reason: str = ""
    n_prompts: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run: its curve, its law, when it starts to game by gold, when its reward was seen to bend."""

    info: RunInfo
    points: tuple[StepMeans, ...]
    fit: Fit | None
    with_gold: GoldOnset
    alarm: Alarm | None
    best_step: int | None
    examples: tuple[ShownAnswer, ...]

    @property
    def best(self) -> StepMeans | None:
        """Where gold is best, on a curve smoothed over three steps."""
        return next((point for point in self.points if point.step == self.best_step), None)

    @property
    def kl_weight(self) -> float | None:
        """Of its KL penalty, per nat."""
        kl = self.info.settings.get("kl")
        return None if kl is None else float(kl)

    @property
    def answers_by_step(self) -> list[tuple[int, tuple[str, ...], list[ShownAnswer]]]:
        """(step, all that it is such as "best gold" and "onset", one answer a prompt) of every step shown."""
        found: dict[int, dict[str, list[ShownAnswer]]] = {}
        for one in self.examples:
            found.setdefault(one.step, {}).setdefault(one.when, []).append(one)
        return [(step, tuple(by_name), next(iter(by_name.values()))) for step, by_name in sorted(found.items())]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSummary:
    """Best-of-n: expected proxy and gold of the chosen sample by n, with the law."""

    ns: tuple[int, ...]
    kl: tuple[float, ...]
    proxy: tuple[ValueWithInterval, ...]
    gold: tuple[ValueWithInterval, ...]
    fit: Fit | None
    n_prompts: int

    @property
    def shown(self) -> list[tuple[int, ValueWithInterval, ValueWithInterval]]:
        """(n, proxy, gold) of one sample, of the n whose gold is highest, and of the largest n."""
        rows = list(zip(self.ns, self.proxy, self.gold, strict=True))
        highest = max(range(len(rows)), key=lambda at: rows[at][2].value, default=0)
        return [row for at, row in enumerate(rows) if at in (0, highest, len(rows) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One run of a pair. ``onset`` is the step of ``gold_onset`` and ``onset_kl`` the nats it lies at, None where the
    policy never games or its onset has no place; ``best_gold`` that of its best step, chosen on one half of the prompts
    and read off the other (None with a single prompt); ``at_budget`` gold where the run first passes each of
    ``comparison.BUDGETS``, None where it never goes so far."""

    games: bool | None
    onset: float | None
    onset_kl: float | None
    best_gold: float | None
    last_gold: float
    last_kl: float | None
    last_nonsense: float | None
    at_budget: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """A run before and after, both up to ``last_step``. ``later``: gaming starts at a later step after, or not by the
    last; None where neither games, or one cannot be told or has no place."""

    run: str
    before: ComparedRun
    after: ComparedRun
    last_step: int

    @property
    def later(self) -> bool | None:
        return self._later(self.before.onset, self.after.onset)

    @property
    def further(self) -> bool | None:
        """As ``later``, in nats from the reference policy."""
        return self._later(self.before.onset_kl, self.after.onset_kl)

    def _later(self, before: float | None, after: float | None) -> bool | None:
        for side, onset in ((self.before, before), (self.after, after)):
            if side.games is None or (side.games and onset is None):
                return None
        if before is None:
            return None if after is None else False
        return after is None or after > before


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyComparison:
    """Over all pairs: shares with their intervals; mean differences, after less before, with Student's intervals (None
    with a single pair)."""

    before: str
    after: str
    pairs: tuple[Pairing, ...]
    games: tuple[Rate, Rate] | None
    later: Rate | None
    further: Rate | None
    best_gold: Difference | None
    last_gold: Difference | None
    budgets: tuple[tuple[float, Difference], ...]  # those that at least two pairs reach on both sides


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredByPeople:
    """How many of a study's answers and prompts people scored; ``unmatched`` of their scores fit no answer.

    ``agreement`` is Krippendorff's α among them, ``own_gold`` Kendall's τ-b of their scores and the runs' own gold.
    """

    n_answers: int
    n_prompts: int
    unmatched: int
    reviewers: int
    agreement: Mean | None = None
    own_gold: Mean | None = None

    @property
    def text(self) -> str:
        who = "one person" if self.reviewers == 1 else f"{self.reviewers} people"
        return f"scores of {who} for {self.n_answers} answers to {self.n_prompts} prompts"

    @property
    def notes(self) -> tuple[str, ...]:
        found = []
        if self.agreement is not None:
            found.append(f"people agree (Krippendorff's α) {_with_interval(self.agreement)} answers scored by several")
        if self.own_gold is not None:
            found.append(f"people and the runs' own gold (Kendall's τ-b): {_with_interval(self.own_gold)} answers")
        if self.unmatched:
            found.append(f"{self.unmatched} scored answers are not among the stored ones, and count nothing")
        return tuple(found)


def _with_interval(found: Mean) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f}), n = {found.n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study's folder and what its runs show; ``people`` where the gold is theirs and not the runs' own."""

    runs: tuple[RunSummary, ...]
    pool: PoolSummary | None
    comparison: StudyComparison | None
    notes: tuple[str, ...]
    people: ScoredByPeople | None = None
    folder: Path = Path()  # not in the file, which may be moved
