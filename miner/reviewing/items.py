"""What is shown for judgement, and in which order: a sample of findings with controls between them.

The sample is stratified by attack, form and margin: any beginning of it holds every stratum at about its share, so
that rates over what was judged so far need no weights. Within a stratum a digest of the seed and the id decides, so
that of a corpus that grew mostly the same are asked about. All reviewers judge the same items, block by block, each in
an order of their own that the seed and their name decide.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest

from corpus.records import Conversation, Finding, digest
from miner.errors import ConfigError
from miner.judging.checks import Subject
from miner.judging.checks.plants import plant
from miner.reviewing.findings_index import FindingsIndex

BLOCK = 40
MAX_CLEAN = 4000  # good answers among which controls are drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItem:
    """What is judged: one text, or two in a pair, the finding first. ``cluster`` is what items are drawn together
    with; ``expected`` what a control is known to be."""

    item_id: str
    prompt: Conversation
    texts: tuple[str, ...]
    cluster: str
    expected: str | None = None
    reference: str | None = None
    finding: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPlan:
    """How much is asked: ``n`` items in all, or until the interval of the precision is narrow; ``controls`` is the
    share of items whose answer is known, half of them good answers and half planted nonsense."""

    n: int = 200
    controls: float = 0.2
    seed: int = 0
    until_width: float | None = None


class Blocks:
    """Items in blocks, drawn from a list of ids, with controls between them: every reviewer is through with one block
    before the next begins."""

    def __init__(self, plan: ReviewPlan, ids: Sequence[str], clean: Sequence[Subject]) -> None:
        self._plan, self._ids, self._clean = plan, ids, clean
        self._blocks: list[list[ReviewItem]] = []
        self._items: dict[str, ReviewItem] = {}
        self._lock = threading.RLock()
        self._n_controls = round(BLOCK * plan.controls)
        if self._n_controls and not clean:
            raise ConfigError(
                "no finding has a reference, so there are no clean answers to mix in and to plant nonsense from. "
                "Review without controls, and without correction: --controls 0"
            )
        most = round(len(ids) * BLOCK / (BLOCK - self._n_controls))
        self._most = most if plan.until_width is not None else min(plan.n, most)

    def made(self, ids: Sequence[str]) -> list[ReviewItem]:
        """The items of these ids."""
        raise NotImplementedError

    @property
    def total(self) -> int:
        """How many items there are to judge; at most, where it ends when the interval is narrow."""
        if self._plan.until_width is not None:
            return self._most
        return sum(len(self.block(number)) for number in range(-(-self._most // BLOCK)))

    def block(self, number: int) -> Sequence[ReviewItem]:
        """Its items; none after the last."""
        with self._lock:
            while len(self._blocks) <= number and len(self._blocks) * BLOCK < self._most:
                fresh = {one.item_id: one for one in self._make(len(self._blocks)) if one.item_id not in self._items}
                self._items |= fresh
                self._blocks.append(list(fresh.values()))
            return self._blocks[number] if number < len(self._blocks) else ()

    def item(self, item_id: str, *, answered: int = 0) -> ReviewItem | None:
        """One that is asked about: of the blocks made, or of those that one who gave so many answers has come to."""
        if item_id not in self._items:
            self.block(answered // (BLOCK - self._n_controls) + 1)
        return self._items.get(item_id)

    def __contains__(self, item_id: object) -> bool:
        """Whether it is in the blocks made."""
        return item_id in self._items

    def _make(self, number: int) -> Iterator[ReviewItem]:
        size = min(BLOCK, self._most - number * BLOCK)
        n_controls = round(size * self._n_controls / BLOCK)
        start = number * (BLOCK - self._n_controls)
        yield from self.made(self._ids[start : start + size - n_controls])
        yield from islice(self._controls(number), n_controls)

    def _controls(self, number: int) -> Iterator[ReviewItem]:
        """Good answers, each once, and planted nonsense in turn, others in every block."""
        half = self._n_controls // 2 + 1
        clean = self._clean[number * half :][:half]
        planted = plant(self._clean, per_kind=half // 3 + 1, seed=self._plan.seed * 100_003 + number)
        mixed = chain.from_iterable(zip(*planted.values(), strict=True))
        for bad, good in islice(zip_longest(mixed, clean), half):
            both = [_control(bad, "nonsense"), *([_control(good, "sensible")] if good else [])]
            yield from both if number % 2 else reversed(both)


class VerdictItems(Blocks):
    """Findings, stratified, and controls."""

    def __init__(self, index: FindingsIndex, plan: ReviewPlan) -> None:
        super().__init__(plan, stratified(index, plan.seed), clean_answers(index, plan.seed))
        self._index = index

    def made(self, ids: Sequence[str]) -> list[ReviewItem]:
        return [_of_finding(one) for one in self._index.findings(ids)]


class PairItems(VerdictItems):
    """Findings beside the good answers they beat; nothing is known of any, so there are no controls."""

    def __init__(self, index: FindingsIndex, plan: ReviewPlan) -> None:
        Blocks.__init__(self, replace(plan, controls=0), stratified(index, plan.seed, pairs=True), ())
        self._index = index

    def made(self, ids: Sequence[str]) -> list[ReviewItem]:
        return [_of_finding(one, str(one.reference)) for one in self._index.findings(ids)]


class ListedItems(Blocks):
    """Items that fit into memory, in their order, with controls where ``clean`` answers are given."""

    def __init__(self, items: Sequence[ReviewItem], plan: ReviewPlan, clean: Sequence[Subject] = ()) -> None:
        plan = plan if clean else replace(plan, controls=0)
        self._listed = {one.item_id: one for one in items}
        super().__init__(plan, list(self._listed), clean)

    def made(self, ids: Sequence[str]) -> list[ReviewItem]:
        return [self._listed[one] for one in ids]


def stratified(index: FindingsIndex, seed: int, *, pairs: bool = False) -> list[str]:
    """The ids of all findings of nonsense in an order of which any beginning holds every stratum at its share.

    A stratum's findings lie evenly between 0 and 1, in the order of their digests, from a beginning of its own.
    """
    rows = index.rows(
        "SELECT finding_id FROM (SELECT finding_id, "
        "row_number() OVER (PARTITION BY attack, form, third ORDER BY drawn, finding_id) - 1 AS rank, "
        "count(*) OVER (PARTITION BY attack, form, third) AS size, "
        "md5_number_lower(concat_ws('|', $seed, attack, form, third)) / 18446744073709551616.0 AS beginning, drawn "
        "FROM (SELECT finding_id, attack, form, md5(concat_ws('|', $seed, finding_id)) AS drawn, "
        "ntile(3) OVER (ORDER BY margin, finding_id) AS third FROM findings WHERE kind = 'nonsense'"
        f"{' AND reference IS NOT NULL' if pairs else ''})) ORDER BY (rank + beginning) / size, drawn",
        {"seed": str(seed)},
    )
    return [row[0] for row in rows]


def clean_answers(index: FindingsIndex, seed: int) -> list[Subject]:
    """References of findings' prompts, each prompt once, in random order."""
    rows = index.rows(
        "SELECT min(finding_id) FROM findings WHERE reference IS NOT NULL GROUP BY prompt_id "
        f"ORDER BY md5(concat_ws('|', $seed, prompt_id)) LIMIT {MAX_CLEAN}",
        {"seed": str(seed)},
    )
    found = index.findings([row[0] for row in rows])
    return [Subject(response=str(one.reference), prompt=one.prompt, reference=one.reference) for one in found]


def reviewers_order(source: Blocks, reviewer: str, seed: int) -> Iterator[ReviewItem]:
    """Every item in the order in which this reviewer meets it."""
    for number in range(1_000_000):
        items = list(source.block(number))
        if not items:
            return
        random.Random(f"{seed}|{reviewer}|{number}").shuffle(items)
        yield from items


def finding_side(item: ReviewItem, reviewer: str, seed: int) -> str:
    """On which side the finding of a pair stands for this reviewer: by chance, and the same again on reload."""
    return random.Random(f"{seed}|{reviewer}|{item.item_id}").choice(("left", "right"))


def _of_finding(finding: Finding, *others: str) -> ReviewItem:
    return ReviewItem(
        item_id=finding.finding_id,
        prompt=finding.prompt,
        texts=(finding.response, *others),
        cluster=finding.prompt_id,
        reference=finding.reference,
        finding=finding,
    )


def _control(subject: Subject, expected: str) -> ReviewItem:
    item_id = digest(["control", expected, [[m.role, m.content] for m in subject.prompt], subject.response])
    return ReviewItem(
        item_id=item_id,
        prompt=subject.prompt,
        texts=(subject.response,),
        cluster=item_id,
        expected=expected,
        reference=subject.reference,
    )
