"""What is shown for judgement, and in which order: a sample of findings with controls between them.

The sample is stratified by attack, form and margin: any beginning of it holds every stratum at about its share, so
that rates over what was judged so far need no weights. All reviewers judge the same items, block by block, each in an
order of their own that the seed and their name decide.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus import Corpus
from corpus.records import Conversation, Finding, Message, ReviewMode, digest
from miner.errors import ConfigError
from miner.judging.checks import Subject
from miner.judging.checks.plants import plant
from miner.measuring.overopt.eval_prompts import read_prompts
from miner.measuring.overopt.log import STUDY, measured_runs
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

    def item(self, item_id: str) -> ReviewItem | None:
        """One that is asked about, whoever was shown it."""
        number = 0
        while item_id not in self._items and number * BLOCK < self._most:
            self.block(number)
            number += 1
        return self._items.get(item_id)

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
    """Items that fit into memory, in random order, with controls where ``clean`` answers are given."""

    def __init__(self, items: Sequence[ReviewItem], plan: ReviewPlan, clean: Sequence[Subject] = ()) -> None:
        plan = plan if clean else replace(plan, controls=0)
        self._listed = {one.item_id: one for one in items}
        ids = sorted(self._listed)
        random.Random(plan.seed).shuffle(ids)
        super().__init__(plan, ids, clean)

    def made(self, ids: Sequence[str]) -> list[ReviewItem]:
        return [self._listed[one] for one in ids]


def open_source(mode: ReviewMode, run: Path, corpus: Corpus, index: FindingsIndex, plan: ReviewPlan) -> Blocks:
    """The items of a mode.

    Raises:
        ConfigError, DataError: the run holds none; the message says how to come by some.
    """
    if mode == "gold":
        return ListedItems(_samples(run), plan)
    if mode == "near_misses":
        return ListedItems(_near_misses(corpus, run), plan, clean_answers(index, plan.seed))
    if not index.count():
        raise ConfigError(f"{run} holds no findings to review. Mine some first: rmminer mine --out {run}")
    source = PairItems(index, plan) if mode == "pairs" else VerdictItems(index, plan)
    if not source.total:
        raise ConfigError(f"no finding of {run} has a reference to stand beside. Review verdicts instead")
    return source


def stratified(index: FindingsIndex, seed: int, *, pairs: bool = False) -> list[str]:
    """The ids of all findings of nonsense in an order of which any beginning holds every stratum at its share."""
    found = index.arrays(
        "SELECT finding_id, dense_rank() OVER (ORDER BY attack, form, third) - 1 AS stratum FROM (SELECT finding_id, "
        "attack, form, ntile(3) OVER (ORDER BY margin, finding_id) AS third FROM findings WHERE kind = 'nonsense'"
        f"{' AND reference IS NOT NULL' if pairs else ''}) ORDER BY finding_id"
    )
    stratum = np.asarray(found["stratum"], dtype=np.intp)
    order = spread(stratum, np.bincount(stratum), np.random.default_rng(seed))
    ids: list[str] = np.asarray(found["finding_id"])[order].tolist()
    return ids


def spread(
    stratum: npt.NDArray[np.intp], sizes: npt.NDArray[np.intp], rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """A random order of the rows in which each stratum is spread evenly; ``stratum`` is every row's, by number."""
    by_stratum = np.lexsort((rng.random(len(stratum)), stratum))
    rank = np.empty(len(stratum))
    rank[by_stratum] = np.arange(len(stratum)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.argsort((rank + rng.random(len(sizes))[stratum]) / sizes[stratum], kind="stable")


def clean_answers(index: FindingsIndex, seed: int) -> list[Subject]:
    """References of findings' prompts, each prompt once, in random order."""
    rows = index.rows(
        "SELECT min(finding_id) FROM findings WHERE reference IS NOT NULL GROUP BY prompt_id "
        f"ORDER BY hash(prompt_id || '{int(seed)}') LIMIT {MAX_CLEAN}"
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


def _samples(run: Path) -> list[ReviewItem]:
    """Answers of policies as ``overopt`` stored them, each once."""
    prompts = read_prompts(run / STUDY)
    rows = chain.from_iterable(measured_runs(run / STUDY).values())
    unknown = (Message(role="user", content="(the prompt was not stored)"),)
    return [
        ReviewItem(
            item_id=sample_id(prompt_id, response),
            prompt=prompts.get(prompt_id, unknown),
            texts=(response,),
            cluster=prompt_id,
        )
        for prompt_id, response in sorted({(row.prompt_id, row.response) for row in rows})
    ]


def sample_id(prompt_id: str, response: str) -> str:
    """The item of a stored answer."""
    return digest(["sample", prompt_id, response])


def _near_misses(corpus: Corpus, run: Path) -> list[ReviewItem]:
    """Texts of stored queries that passed the bar and are no findings: the checks acquitted them, or could not tell."""
    sql = """
        SELECT DISTINCT q.prompt_id, q.response, f.prompt, f.reference
        FROM queries q JOIN (
            SELECT prompt_id, rm_fingerprint, any_value(prompt) AS prompt, any_value(reference) AS reference,
                   max(greatest(threshold, coalesce(reference_reward, threshold))) AS bar
            FROM findings GROUP BY ALL
        ) f USING (prompt_id, rm_fingerprint)
        WHERE q.reward > f.bar
          AND NOT EXISTS (FROM findings g WHERE g.prompt_id = q.prompt_id AND g.response = q.response)
        ORDER BY 1, 2 LIMIT 20000"""
    rows = corpus.query(sql).to_pylist()
    if not rows:
        raise ConfigError(
            f"{run} holds no near misses: texts that passed the bar and were acquitted are kept with all scored texts "
            "only (mine with --set keep_queries=true)"
        )
    return [
        ReviewItem(
            item_id=digest(["near miss", row["prompt_id"], row["response"]]),
            prompt=tuple(Message(**turn) for turn in row["prompt"]),
            texts=(row["response"],),
            cluster=row["prompt_id"],
            reference=row["reference"],
        )
        for row in rows
    ]
