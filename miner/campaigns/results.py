"""What a campaign's rounds gave, as records: nothing here computes, reads or writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from corpus.records import Form, Split
from miner.statistics import Difference, Rate, Ratio, SurvivalCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckErrors:
    """How often a check convicts clean text, and planted nonsense by kind of plant; ``threshold`` convicts above it."""

    false_alarm: Rate
    hit_rate: dict[str, Rate]
    threshold: float | None = None
    calibration_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormCount:
    """Findings of one form; ``seen``: the patch trained on findings of this form."""

    form: Form
    seen: bool
    found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackResult:
    """One attack at one budget on the prompts of one split.

    ``seen``: the patch behind this round's RM trained on findings of this attack's family. ``median_queries`` is the
    median of the break-cost curve, null where fewer than half broke within the budget. Attempts that ended in an error
    say nothing of the RM: they are counted in ``errors`` alone, not in ``n``; where all of them did, ``n`` is 0 and the
    interval all there is. ``abstained`` and ``acquitted`` are attempts without a find in which a text would have won,
    had the checks been able to tell, or not called it sensible. An ``adaptive`` attack knew the RM before its patch.
    """

    attack: str
    family: str
    split: Split
    seen: bool
    n: int
    errors: int
    found: int
    rate: float
    low: float
    high: float
    median_queries: float | None
    budget: int
    beats_reference: Rate | None
    beats_quantile: Rate
    forms: list[FormCount]
    survival: SurvivalCurve
    abstained: int = 0
    acquitted: int = 0
    adaptive: bool = False
    attack_params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Success of ``attack`` minus success of ``control``, paired by prompt, at the same budget of queries.

    ``flops_ratio``: what a query of the attack computes over one of the control's, in FLOPs of the RM as they spent
    them, the shared beginning of a prompt's texts counted once a batch. A gradient, booked as three queries, reads a
    long prompt three times; what the control scores shares it. None where it is not known.
    """

    attack: str
    control: str
    difference: Difference
    flops_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRatio:
    """Mean queries to the first find, over those of ``against`` on the RM as given: the same attack or, for an adaptive
    one, the one that it adapts. Paired by prompt, at one budget, as which an attempt without a find counts: against
    this RM, ``unbroken`` of them.
    """

    attack: str
    against: str
    seen: bool
    adaptive: bool
    ratio: Ratio
    unbroken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachResult:
    """On how many held-out prompts, other than those they were found on, the responses of ``attack`` win.

    The medians are over ``n`` responses. The best is the best *on these prompts*: of many responses it is partly lucky,
    unless ``n`` is 1.
    """

    attack: str
    n: int
    median_beats_reference: float | None
    median_wins: float
    best_response: str
    best_beats_reference: Rate | None
    best_wins: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSummary:
    """What a patch trained on, and what it was kept from; ``not_shown`` more findings found no place in its steps."""

    clean_pairs: int
    findings: int
    not_shown: int
    held_out_families: list[str]
    held_out_forms: list[str]
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSummary:
    """One RM: round 0 is the one given, round r the one after r patches.

    ``model`` is its folder relative to the summary's, or a hub id. ``accuracy_change`` is since round 0, paired.
    """

    round: int
    model: str
    rm_fingerprint: str
    threshold: float
    clean_mean: float
    clean_std: float
    clean_accuracy: Rate | None
    accuracy_change: Difference | None
    accuracy_change_since_previous: Difference | None
    attacks: list[AttackResult]
    contrasts: list[Contrast]
    patch: PatchSummary | None
    reach: list[ReachResult] = field(default_factory=list)
    costs: list[CostRatio] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCell:
    """Of the findings made on ``split`` in ``finding_round``, the share that still wins against the RM of ``rm_round``.

    Patches train on findings of the train split; those of the held-out split they never see.
    """

    finding_round: int
    rm_round: int
    split: Split
    still_winning: Rate
