"""What people say of findings, and what that changes: a finding they overrule is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from corpus.records import Finding, Review, ReviewMode, ReviewSource
from miner.judging.review_statistics import Judgement, reviewer_errors

NONSENSE, SENSIBLE, CANNOT_TELL = "nonsense", "sensible", "cannot_tell"
SKIPPED, UNDONE = "skipped", "undone"
CONTROLLED: tuple[ReviewMode, ...] = ("verdicts", "near_misses")  # with items among them whose kind is known
REVEALED = "revealed"  # no answer: from here on the reviewer knows what the item is


def last_of_each(reviews: Iterable[Review], mode: ReviewMode, *, source: ReviewSource = "person") -> list[Review]:
    """The last review of every reviewer and item in this mode, in order of publication: clocks are not asked."""
    last: dict[tuple[str, str], Review] = {}
    for one in reviews:
        if (one.mode, one.source) == (mode, source) and one.verdict != REVEALED:
            last.pop((one.reviewer, one.item_id), None)
            last[one.reviewer, one.item_id] = one
    return list(last.values())


def standing(reviews: Iterable[Review], mode: ReviewMode, *, source: ReviewSource = "person") -> list[Review]:
    """The answers that count: the last ones, without those that were undone or put off."""
    return [one for one in last_of_each(reviews, mode, source=source) if one.verdict not in (UNDONE, SKIPPED)]


def judgements(reviews: Iterable[Review], mode: ReviewMode = "verdicts") -> list[Judgement]:
    """People's standing verdicts as the statistics take them."""
    return [
        Judgement(reviewer=one.reviewer, item=one.item_id, verdict=one.verdict, expected=one.expected)
        for one in standing(reviews, mode)
    ]


def counted(reviews: Sequence[Review]) -> list[Review]:
    """Without all that reviewers said whom the controls of either mode that has some show to be a coin."""
    flagged = {one.reviewer for mode in CONTROLLED for one in reviewer_errors(judgements(reviews, mode)) if one.flagged}
    return [one for one in reviews if one.reviewer not in flagged]


class PeoplesVerdicts:
    """Which findings people confirm or overrule: more call it nonsense than sensible, or the other way round. Who
    cannot tell has no vote, nor have scripts, nor reviewers who answer controls as a coin would."""

    def __init__(self, reviews: Sequence[Review], mode: ReviewMode = "verdicts") -> None:
        votes: Counter[str] = Counter()
        for one in judgements(counted(reviews), mode):
            if one.expected is None:
                votes[one.item] += (one.verdict == NONSENSE) - (one.verdict == SENSIBLE)
        self.confirmed = frozenset(item for item, vote in votes.items() if vote > 0)
        self.overruled = frozenset(item for item, vote in votes.items() if vote < 0)

    def without_overruled(self, findings: Iterable[Finding]) -> list[Finding]:
        return [finding for finding in findings if finding.finding_id not in self.overruled]

    def confirmed_of(self, findings: Iterable[Finding]) -> list[Finding]:
        return [finding for finding in findings if finding.finding_id in self.confirmed]

    def lost_attempts(self, findings: Iterable[Finding]) -> frozenset[str]:
        """The attempts all of whose findings are overruled: they found nothing."""
        stands: dict[str, bool] = {}
        for one in findings:
            stands[one.attempt_id] = stands.get(one.attempt_id, False) or one.finding_id not in self.overruled
        return frozenset(attempt for attempt, some in stands.items() if not some)
