"""Two RMs side by side, of one run or of two: which attack succeeds how often, and which texts win against both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus import Corpus
from corpus.records import Attempt, digest
from miner.judging.reviews import PeoplesVerdicts
from miner.reviewing.findings_index import FindingsIndex
from miner.statistics import Difference, Rate, paired_difference, rate

SHARED = 50  # findings of both that are listed


@dataclass(frozen=True, kw_only=True)
class ReviewedRun:
    """A run that may stand on either side."""

    run: Path
    corpus: Corpus
    index: FindingsIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An RM of a run; ``name`` is how pages' addresses spell it."""

    name: str
    run: str
    rm_fingerprint: str
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedAttack:
    """One attack with one budget and one split's prompts against both. ``change`` is the second less the first over the
    prompts on which both were attacked; None where they share none."""

    attack: str
    split: str
    budget: int
    first: Rate | None
    second: Rate | None
    change: Difference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RmComparison:
    """``both``: the first of the ``n_both`` texts that win against both on the same prompt, each as its two ids."""

    first: Side
    second: Side
    attacks: list[ComparedAttack]
    both: list[tuple[str, str, str]]
    n_both: int


def sides(runs: Sequence[ReviewedRun]) -> list[Side]:
    """Every RM that has findings, run by run, by round."""
    found = []
    for at, one in enumerate(runs):
        one.index.refresh()
        rows = one.index.rows("SELECT rm_fingerprint, min(round) FROM findings GROUP BY 1 ORDER BY 2, 1")
        found += [Side(name=f"{at}.{rm}", run=one.run.name, rm_fingerprint=rm, round=number) for rm, number in rows]
    return found


def compare_rms(runs: Sequence[ReviewedRun], first: Side, second: Side) -> RmComparison:
    """Errors as ``Corpus.attempts``."""
    one, other = (runs[int(side.name.partition(".")[0])] for side in (first, second))
    both = _both(one.index, first.rm_fingerprint, other.index, second.rm_fingerprint)
    return RmComparison(
        first=first,
        second=second,
        attacks=list(_attacks(_attempts(one, first.rm_fingerprint), _attempts(other, second.rm_fingerprint))),
        both=both[:SHARED],
        n_both=len(both),
    )


def _attempts(one: ReviewedRun, rm_fingerprint: str) -> list[Attempt]:
    """Those that rates are made of; of each attack those made with the newest code and criteria. Whose finds people
    overruled found nothing."""
    mine = [a for a in one.corpus.attempts() if a.rm_fingerprint == rm_fingerprint and len(a.prompt_ids) == 1]
    newest = {a.attack: (a.code_version, a.criteria_hash) for a in mine}
    counted = [a for a in mine if newest[a.attack] == (a.code_version, a.criteria_hash) and a.outcome != "error"]
    overruled = PeoplesVerdicts(one.corpus.reviews()).overruled
    return [
        replace(a, outcome="budget_spent") if a.finding_ids and overruled.issuperset(a.finding_ids) else a
        for a in counted
    ]


def _attacks(first: Sequence[Attempt], second: Sequence[Attempt]) -> Iterator[ComparedAttack]:
    groups = [_grouped(first), _grouped(second)]
    for key in sorted(groups[0].keys() | groups[1].keys(), key=lambda key: (key[1] != "held_out", key)):
        one, other = (group.get(key, {}) for group in groups)
        shared = sorted(one.keys() & other.keys())
        yield ComparedAttack(
            attack=key[0],
            split=key[1],
            budget=key[2],
            first=_rate(one),
            second=_rate(other),
            change=paired_difference([_mean(other[p]) for p in shared], [_mean(one[p]) for p in shared], None)
            if shared
            else None,
        )


def _grouped(attempts: Sequence[Attempt]) -> dict[tuple[str, str, int, str], dict[str, list[bool]]]:
    """Whether they found something, by attack, split, budget and hyper-parameters, by prompt."""
    found: dict[tuple[str, str, int, str], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for one in attempts:
        key = one.attack, one.split, one.budget, digest(dict(one.attack_params))
        found[key][one.prompt_ids[0]].append(one.outcome == "found")
    return found


def _rate(by_prompt: dict[str, list[bool]]) -> Rate | None:
    pairs = [(outcome, prompt) for prompt, outcomes in by_prompt.items() for outcome in outcomes]
    return rate([outcome for outcome, _ in pairs], groups=[prompt for _, prompt in pairs]) if pairs else None


def _mean(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes)


def _both(one: FindingsIndex, rm: str, other: FindingsIndex, other_rm: str) -> list[tuple[str, str, str]]:
    """(id, other id, response) of texts found on the same prompt against both."""
    sql = (
        "SELECT md5(concat_ws('|', prompt_id, response)) AS text, min(finding_id) FROM findings "
        "WHERE rm_fingerprint = ? GROUP BY 1"
    )
    mine, theirs = dict(one.rows(sql, [rm])), dict(other.rows(sql, [other_rm]))
    shared = sorted(mine.keys() & theirs.keys())
    shown = {found.finding_id: found.response for found in one.findings([mine[key] for key in shared[:SHARED]])}
    return [(mine[key], theirs[key], shown.get(mine[key], "")) for key in shared]
