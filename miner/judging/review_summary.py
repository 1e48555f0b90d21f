"""What reviews say of a run: how precise its certificate is, by check, attack and form; who agrees with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corpus.records import Finding, Review, Split
from miner.judging.near_misses import NearMiss
from miner.judging.review_statistics import (
    CertificatePrecision,
    Judgement,
    ReviewerErrors,
    krippendorff_alpha,
    precision,
    reviewer_errors,
)
from miner.judging.reviews import PeoplesVerdicts, counted, judgements, standing
from miner.statistics import Mean, Rate, rate

MIN_ITEMS = 5  # a row of its own in a table


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSummary:
    """People's verdicts alone: what scripts answered is in none of these figures, nor what reviewers said who are
    flagged, but for the line that says so of them.

    ``precision`` is of the certificate: the share of findings that is nonsense. ``preferred`` is the share of pairs in
    which a find was called better than the good answer it beat; ``near_misses`` the share that is nonsense among texts
    the checks let go. With ``unseen`` these two are of that split's prompts alone.
    """

    precision: CertificatePrecision | None
    by_check: dict[str, CertificatePrecision]
    by_attack: dict[str, CertificatePrecision]
    by_form: dict[str, CertificatePrecision]
    agreement: Mean | None
    reviewers: list[ReviewerErrors]
    confirmed: int
    overruled: int
    preferred: Rate | None
    near_misses: CertificatePrecision | None
    unseen: Split | None = None


def summarise_reviews(
    reviews: Sequence[Review],
    findings: Sequence[Finding],
    near: Sequence[NearMiss] = (),
    *,
    unseen: Split | None = None,
) -> ReviewSummary | None:
    """The summary of ``reviews`` of these findings and near misses; None where people have judged nothing.

    ``unseen``: on whose prompts alone they count, where the checks learned from verdicts on others.
    """
    everybody = judgements(reviews)
    reviewers, counting = reviewer_errors(everybody), counted(reviews)
    given, let_go, pairs = judgements(counting), judgements(counting, "near_misses"), standing(counting, "pairs")
    if not (everybody or let_go or pairs):
        return None
    if unseen is not None:
        findings = [one for one in findings if one.split == unseen]
        seen_by_none = {one.finding_id for one in findings} | {one.item_id for one in near if one.split == unseen}
        given, let_go = ([one for one in some if one.expected is not None or one.item in seen_by_none]
                         for some in (given, let_go))  # fmt: skip
    clusters = {one.finding_id: one.prompt_id for one in findings}
    of_check = {(c.check, f.finding_id) for f in findings for c in f.certificate if c.verdict == "nonsense"}
    votes = PeoplesVerdicts(reviews)
    told = [one for one in pairs if one.verdict in ("finding", "reference")]
    return ReviewSummary(
        precision=precision(given, clusters=clusters),
        by_check=_by(given, clusters, of_check),
        by_attack=_by(given, clusters, {(one.attack, one.finding_id) for one in findings}),
        by_form=_by(given, clusters, {(one.form, one.finding_id) for one in findings}),
        agreement=krippendorff_alpha([(one.item, one.verdict) for one in given if one.expected is None]),
        reviewers=reviewers,
        confirmed=len(votes.confirmed & clusters.keys()),
        overruled=len(votes.overruled & clusters.keys()),
        preferred=rate(
            [one.verdict == "finding" for one in told],
            groups=[clusters.get(one.item_id, one.item_id) for one in told],
        )
        if told
        else None,
        near_misses=precision(let_go, clusters={one.item_id: one.prompt_id for one in near}),
        unseen=unseen,
    )


def _by(
    given: Sequence[Judgement], clusters: dict[str, str], named: set[tuple[str, str]]
) -> dict[str, CertificatePrecision]:
    """The precision among the findings of each name, where enough were judged."""
    judged = {one.item for one in given if one.expected is None}
    rows = {}
    for name in sorted({name for name, _ in named}):
        items = [item for other, item in named if other == name and item in judged]
        found = precision(given, items=sorted(items), clusters=clusters) if len(items) >= MIN_ITEMS else None
        if found:
            rows[name] = found
    return rows
