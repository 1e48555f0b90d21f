"""A run as its reviewers meet it: its findings, what was said of them, and a desk for every mode."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from corpus import Corpus
from corpus.records import Finding, Review, ReviewMode, digest
from miner.campaigns.run_folder import RunFolder
from miner.errors import ConfigError, DataError
from miner.judging.near_misses import judged_near_misses
from miner.judging.review_summary import ReviewSummary, summarise_reviews
from miner.judging.reviews import PeoplesVerdicts
from miner.measuring.triage.result import GroupResult, read_triage
from miner.reviewing.attributions import Attributions, OpenRm, no_rm
from miner.reviewing.comparison import ReviewedRun, compare_rms, sides
from miner.reviewing.desk import Desk, plan_of
from miner.reviewing.findings_index import FindingsIndex
from miner.reviewing.gold_items import gold_items
from miner.reviewing.items import ReviewPlan
from miner.reviewing.journal import Journal
from miner.reviewing.sources import open_source

GROUP_VERDICTS = ("named", "fixed", "wont_fix", "open", "merge", "split")
SAME_TEXT = 50  # findings listed as the same text elsewhere


class ReviewRoom:
    """One run's folder, or a corpus. ``blind``: nothing but prompt and text is shown until it is judged. ``open_rm``
    opens the RM of a round, for attributions; ``against`` is a run to compare with.

    Raises:
        ConfigError: there is no corpus, or the mode asked for has nothing to show.
        CorpusError: the corpus cannot be read.
    """

    def __init__(
        self, run: Path, plan: ReviewPlan, *, blind: bool = True, open_rm: OpenRm = no_rm, against: Path | None = None
    ) -> None:
        self.run, self.corpus = run, _corpus_of(run)
        if not self.corpus.exists() and not gold_items(run, plan.seed):
            raise ConfigError(f"no corpus at {run}. Name the folder of a run: rmminer mine --out {run} makes one")
        self.plan, self.blind = plan, blind
        self.index = FindingsIndex(self.corpus)
        self.journal = Journal(self.corpus)
        self.attributions = Attributions(run, open_rm)
        self.runs = [ReviewedRun(run=run, corpus=self.corpus, index=self.index)]
        if against is not None:
            self.runs.append(_compared(against))
        self._desks: dict[ReviewMode, Desk] = {}
        self._lock = threading.RLock()
        self._summary: tuple[int, ReviewSummary | None] = (-1, None)

    def desk(self, mode: ReviewMode) -> Desk:
        """The desk of a mode.

        Raises:
            ConfigError, DataError: the run holds nothing to judge there.
        """
        with self._lock:
            if mode not in self._desks:
                plan = plan_of(mode, self.plan)
                items = open_source(mode, self.run, self.corpus, self.index, plan)
                self._desks[mode] = Desk(mode, items, self.journal, plan, blind=self.blind)
            return self._desks[mode]

    def require_items(self) -> None:
        """Refuse a run that has neither findings nor answers to judge. Errors as ``desk``."""
        try:
            self.desk("verdicts")
        except ConfigError:
            if not gold_items(self.run, self.plan.seed):
                raise

    def verdicts(self) -> PeoplesVerdicts:
        """What people confirm and overrule by now."""
        return PeoplesVerdicts(self.journal.all())

    def overview(self) -> dict[str, Any]:
        self.index.refresh()
        self.journal.refresh()
        return {
            "count": self.index.count(),
            "counts": {name: self.index.counts_by(name) for name in ("attack", "form", "round", "split")},
            "striking": self.index.findings(self._striking()),
            "reviews": self.summary(),
        }

    def _striking(self) -> list[str]:
        """The finds that beat their good answer by most, one of each attack."""
        rows = self.index.rows(
            "SELECT arg_max(finding_id, reward - reference_reward) FROM findings WHERE reference IS NOT NULL "
            "AND kind = 'nonsense' GROUP BY attack ORDER BY max(reward - reference_reward) DESC LIMIT 3"
        )
        return [row[0] for row in rows if row[0]]

    def summary(self) -> ReviewSummary | None:
        """What people's verdicts say, made anew when there are more."""
        with self._lock:
            reviews = self.journal.all()
            if self._summary[0] != len(reviews):
                judged = sorted({one.item_id for one in reviews if one.expected is None})
                near, unseen = judged_near_misses(self.corpus, reviews), RunFolder(self.run).unseen
                found = summarise_reviews(reviews, self.index.findings(judged), near, unseen=unseen)
                self._summary = (len(reviews), found)
            return self._summary[1]

    def about(self, finding: Finding) -> dict[str, Any]:
        """What a finding's page says beside the row itself."""
        self.journal.refresh()
        same = self.index.rows(
            "SELECT finding_id FROM findings WHERE response = ? AND finding_id <> ? ORDER BY round, finding_id LIMIT ?",
            [finding.response, finding.finding_id, SAME_TEXT],
        )
        return {
            "reviews": self.journal.of_item(finding.finding_id),
            "attribution": self.attributions.stored(finding),
            "same": self.index.findings([row[0] for row in same]),
            "parents": self.index.findings(finding.parent_ids),
            "group": next((g for g in self._triaged() if g.representative_id == finding.finding_id), None),
        }

    def found(self, finding_id: str) -> Finding | None:
        """A finding of this run, or of the one it is compared with."""
        for one in self.runs:
            one.index.refresh()
            for finding in one.index.findings([finding_id]):
                return finding
        return None

    def compare(self, first: str, second: str) -> dict[str, Any]:
        """Two RMs side by side, by the names of their sides; left out, the first of this run and the last of all.

        Raises:
            DataError: no such side.
        """
        known = {side.name: side for side in sides(self.runs)}
        if len(known) < 2:
            return {"sides": list(known.values()), "pair": None}
        names = [first or next(iter(known)), second or next(reversed(known))]
        if unknown := [name for name in names if name not in known]:
            raise DataError(f"no RM {unknown[0][:40]!r} has findings here")
        return {"sides": list(known.values()), "pair": compare_rms(self.runs, *(known[name] for name in names))}

    def rms(self) -> list[dict[str, Any]]:
        """Every RM of the corpus beside the others: how many findings, how far over the bar, of which attacks."""
        self.index.refresh()
        rows = self.index.rows(
            "SELECT rm_fingerprint, min(round), count(*), count(DISTINCT prompt_id), median(margin), max(margin), "
            "median(queries) FROM findings GROUP BY 1 ORDER BY 2, 1"
        )
        forms = self.index.rows("SELECT rm_fingerprint, form, count(*) FROM findings GROUP BY 1, 2 ORDER BY 3 DESC")
        names = ("rm", "round", "findings", "prompts", "margin", "largest", "queries")
        return [
            {**dict(zip(names, row, strict=True)), "forms": [(form, n) for rm, form, n in forms if rm == row[0]]}
            for row in rows
        ]

    def groups(self) -> list[dict[str, Any]]:
        """The run's groups of findings with what people made of them: a name, a state, where they were merged to."""
        self.journal.refresh()
        said: dict[str, list[Review]] = {}
        for one in self.journal.all():
            if one.mode == "groups" and one.source == "person":
                said.setdefault(one.item_id, []).append(one)
        return [{"group": group, **_made_of(said.get(group.group, []))} for group in self._triaged()]

    def judge_group(self, reviewer: str, group: str, verdict: str, comment: str) -> None:
        """Store what a reviewer makes of a group.

        Raises:
            DataError: no such group, verdict, or group to merge with.
        """
        known = {one.group for one in self._triaged()}
        if group not in known:
            raise DataError(f"no group {group[:40]!r} in this run's triage")
        if verdict not in GROUP_VERDICTS:
            raise DataError(f"no verdict {verdict[:40]!r}; expected one of: {', '.join(GROUP_VERDICTS)}")
        if verdict == "merge" and (comment not in known or comment == group):
            raise DataError("a group is merged with another of this run's groups: choose which")
        now = datetime.now(UTC)
        order = len(self.journal.last("groups", reviewer)) + 1
        self.journal.add(
            Review(
                review_id=digest([reviewer, "groups", group, verdict, comment, now.isoformat()]),
                reviewer=reviewer,
                mode="groups",
                item_id=group,
                verdict=verdict,
                expected=None,
                score=None,
                side=None,
                seconds=0.0,
                blind=False,
                shown_order=order,
                comment=comment[:2000],
                source="person",
                created_at=now,
            )
        )

    def _triaged(self) -> tuple[GroupResult, ...]:
        found = read_triage(self.run)
        return found.groups if found else ()


def _corpus_of(run: Path) -> Corpus:
    """That of a run's folder; the folder itself where it is one."""
    inside = run / "corpus"
    return Corpus(inside if inside.is_dir() or not Corpus(run).exists() else run)


def _compared(run: Path) -> ReviewedRun:
    corpus = _corpus_of(run)
    if not corpus.exists():
        raise ConfigError(f"no corpus at {run} to compare with. Name the folder of a run")
    return ReviewedRun(run=run, corpus=corpus, index=FindingsIndex(corpus))


def _made_of(reviews: list[Review]) -> dict[str, Any]:
    """Name, state and reviewers of a group: the last name and merger, and the state that most left it in."""
    names = [one.comment for one in reviews if one.verdict == "named" and one.comment]
    last = {one.reviewer: one.verdict for one in reviews if one.verdict in ("fixed", "wont_fix", "open", "split")}
    states = Counter(last.values())
    merged = [one.comment for one in reviews if one.verdict == "merge"]
    return {
        "name": names[-1] if names else "",
        "state": states.most_common(1)[0][0] if states else "",
        "merged": merged[-1] if merged else "",
        "by": sorted({one.reviewer for one in reviews}),
    }
