"""Reports of measurements that stand beside a campaign's."""

from __future__ import annotations

from typing import Any

from miner.measuring.best_of_n import Peak
from miner.measuring.diversity.report import Attractor, Change, DiversityReport, MeasuredPolicy, Metric
from miner.measuring.gap.report import ChoiceValue, CurvePoint, FactRate, GapReport, Selection, SwapExample
from miner.statistics import Difference, Mean, Rate
from tests.reporting.samples import HOSTILE as HOSTILE_TEXTS

HOSTILE = " ".join(HOSTILE_TEXTS)


MEAN, RATE, CHANGE = Mean(0.5, 20, 0.4, 0.6), Rate(0.5, 20, 0.3, 0.7), Difference(-0.2, 20, -0.3, -0.1)


FACTS: dict[str, Any] = {"command": "rmminer", "code_version": "0", "created_at": "now"}


def side(label: str, *, first: bool) -> MeasuredPolicy:
    return MeasuredPolicy(
        label=label, source=label, fingerprint="f", chat_template=False, texts=9, prompts=3,
        metrics=[Metric(name="entropy", scope="within", mean=MEAN), Metric(name="cosine", scope="within", mean=MEAN)],
        changes=[] if first else [Change(name="cosine", scope="within", difference=CHANGE)],
        entropy_by_position=[MEAN, MEAN],
        attractor=Attractor(forced=RATE, free=RATE, stranger=RATE, ended=RATE, pull=CHANGE, off_mode_tokens=5,
                            prompts=3, without=1),
        kl=None if first else MEAN, sqrt_kl=0.0 if first else 0.7, gold=MEAN, gold_change=None if first else CHANGE,
        points=[(0.0, 0.1), (0.2, 0.3)],
    )  # fmt: skip


def selection(label: str, *, choice: bool = True) -> Selection:
    return Selection(
        label=label, fingerprint="f", sqrt_kl=None, pool=4, prompts=9, distinct=MEAN,
        curve=[CurvePoint(n=n, picked=MEAN, best=MEAN, gain=CHANGE) for n in (1, 2, 4)],
        choice=ChoiceValue(
            gain=CHANGE, gain_change=CHANGE, negative_from=2, best_gain=CHANGE, used=0.4,
            turn=Peak(n=2, low=1, high=None, share=0.99, sure=True), concordance=MEAN,
            concordance_change=CHANGE,
        ) if choice else None,
        to_reference=None, prefers_reference=None,
    )  # fmt: skip


def diversity_report() -> DiversityReport:
    settings = {"set_within": 6, "set_across": 4, "embedding": HOSTILE, "mode_distance": 0.6}
    return DiversityReport(
        sides=[side("before", first=True), side(HOSTILE, first=False)], settings=settings, notes=[HOSTILE], **FACTS
    )


def gap_report() -> GapReport:
    return GapReport(
        selections=[selection("before")],
        facts=[FactRate(kind="name", prefers_true=RATE, mean_gap=-0.1, abstained=3, examples=[
            SwapExample(prompt=HOSTILE, true=HOSTILE, false=HOSTILE, true_reward=1, false_reward=2, proof=HOSTILE)
        ])],
        findings=1, fact_attempts=4, settings={"gold": "overlap"}, notes=[HOSTILE], **FACTS,
    )  # fmt: skip
