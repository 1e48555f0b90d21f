"""Runs many findings' shrinking at once: what they ask for shares batches, and what each may cost has a cap."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from corpus.records import Finding, Form
from miner.judging.checks.verdict import Certificate
from miner.judging.forms import form_of
from miner.measuring.triage.ddmin import max_ddmin_queries
from miner.measuring.triage.pieces import n_words, pieces_of
from miner.measuring.triage.shrink import NAMES, OWN, Ask, Probe, Reduce, ShrinkResult, Try, _QueriesSpent, dissect
from miner.measuring.triage.trials import Trials

JUDGED_AT_ONCE = 2  # of one finding's winners, best first: most often the first is convicted
IN_FLIGHT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """A finding shrunk. ``one_minimal``: without any one piece ``minimal`` is none; false where the cap came first.

    ``essential`` words count wherever they are, None where the cap came before that was known; ``echoed`` ones because
    the prompt has them; ``top`` ones earn most of the reward by attribution, None where there is none. ``queries`` went
    into ``minimal``, ``cause_queries`` into what follows it.
    """

    finding_id: str
    minimal: str
    reward: float
    form: Form
    pieces_before: int
    pieces_after: int
    one_minimal: bool
    core: str
    core_one_minimal: bool
    essential: tuple[str, ...] | None
    echoed: tuple[str, ...]
    queries: int
    cause_queries: int
    top: tuple[str, ...] | None = None

    @property
    def factor(self) -> float:
        """How many times smaller it became, in pieces."""
        return self.pieces_before / self.pieces_after


@dataclass(slots=True)
class _Case:
    """One finding under way: what is known of its texts, and what each step has cost."""

    finding: Finding
    search: Generator[Ask, object, ShrinkResult]
    ask: Ask | None = None
    result: ShrinkResult | None = None
    rewards: dict[Try, float] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    spent: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})  # by: is it for the minimal text
    short: bool = False

    def send(self, answer: object) -> None:
        self._advance(lambda: self.search.send(answer))

    def stop(self) -> None:
        self._advance(lambda: self.search.throw(_QueriesSpent()))

    def _advance(self, step: Any) -> None:
        try:
            self.ask = step()
        except StopIteration as end:
            self.ask, self.result = None, end.value

    @property
    def for_minimal(self) -> bool:
        return isinstance(self.ask, Reduce) and self.ask.certified


def shrink(findings: Sequence[Finding], trials: Trials, *, max_queries: int) -> Iterator[Shrunk]:
    """Every finding shrunk, as each is done; all of them fooled the RM of ``trials``.

    ``max_queries`` caps the way to the minimal text and, again, all that follows. The order of the findings, and which
    are shrunk together, changes nothing.
    """
    waiting, live = list(findings[::-1]), list[_Case]()
    while waiting or live:
        while waiting and len(live) < IN_FLIGHT:
            finding = waiting.pop()
            case = _Case(finding, dissect(finding.response, finding.prompt, trials.confirmation.rm, trials.elsewhere))
            case.send(None)
            live.append(case)
        _score(live, trials, max_queries)
        _answer([case for case in live if case.ask is not None], trials)
        for case in live:
            if case.result is not None:
                yield _shrunk(case, case.result)
        live = [case for case in live if case.result is None]


def max_shrinking_queries(response: str, max_queries: int) -> int:
    """What shrinking a response takes at most."""
    cause = max_ddmin_queries(len(pieces_of(response))) + NAMES * (2 + n_words(response))
    return min(max_queries, max_ddmin_queries(len(pieces_of(response)))) + min(max_queries, cause)


def _score(live: Sequence[_Case], trials: Trials, max_queries: int) -> None:
    """The texts that every case asks for and does not know yet, as far as its cap goes, all in one batch."""
    asked: list[tuple[_Case, Try]] = []
    for case in live:
        if case.ask is None:
            continue
        unknown = [one for one in dict.fromkeys(case.ask.tries) if one not in case.rewards]
        paid = unknown[: max_queries - case.spent[case.for_minimal]]
        case.short = len(paid) < len(unknown)
        case.spent[case.for_minimal] += len(paid)
        asked += [(case, one) for one in paid]
    rewards = trials.rewards([(case.finding, *one) for case, one in asked])
    for (case, one), reward in zip(asked, rewards, strict=True):
        case.rewards[one] = float(reward)


def _answer(cases: Sequence[_Case], trials: Trials) -> None:
    """Send each case its answer; where the best winners are not certified, the next ones are judged."""
    left = {id(case): _winners(case, trials) for case in cases}
    open_cases = list(cases)
    while open_cases:
        judged = [(case, i) for case in open_cases if case.for_minimal for i in left[id(case)][:JUDGED_AT_ONCE]]
        unknown = [(case, i) for case, i in judged if _text(case, i) not in case.certificates]
        certificates = trials.certify([(case.finding, _text(case, i)) for case, i in unknown])
        for (case, i), certificate in zip(unknown, certificates, strict=True):
            case.certificates[_text(case, i)] = certificate
        open_cases = [case for case in open_cases if not _settled(case, left)]


def _winners(case: _Case, trials: Trials) -> list[int]:
    """Indices of the texts that win: parts before complements, then by reward."""
    assert case.ask is not None
    n_parts = case.ask.n_parts if isinstance(case.ask, Reduce) else 0
    known = [(i, one[1], case.rewards[one]) for i, one in enumerate(case.ask.tries) if one in case.rewards]
    won = [(i >= n_parts, -reward, i) for i, at, reward in known if trials.wins(case.finding, reward, at)]
    return [i for _, _, i in sorted(won)]


def _settled(case: _Case, left: dict[int, list[int]]) -> bool:
    """Answer the case if that can be done; drop the winners that were judged and acquitted."""
    assert case.ask is not None
    winners = left[id(case)]
    if isinstance(case.ask, Probe):
        if case.short:
            case.stop()
        else:
            case.send(tuple(i in set(winners) for i in range(len(case.ask.tries))))
        return True
    passed = next((i for i in winners[:JUDGED_AT_ONCE] if not case.for_minimal or _convicted(case, i)), None)
    left[id(case)] = winners[JUDGED_AT_ONCE:]
    if passed is None and left[id(case)]:
        return False
    if passed is None and case.short:
        case.stop()
    else:
        case.send(passed)
    return True


def _convicted(case: _Case, i: int) -> bool:
    return case.certificates[_text(case, i)].verdict == "nonsense"


def _text(case: _Case, i: int) -> str:
    assert case.ask is not None
    return case.ask.tries[i][0]


def _shrunk(case: _Case, done: ShrinkResult) -> Shrunk:
    finding, certificate = case.finding, case.certificates.get(done.minimal)
    verdicts = certificate.verdicts if certificate else finding.certificate  # the text as it was found
    return Shrunk(
        finding_id=finding.finding_id,
        minimal=done.minimal,
        reward=case.rewards.get((done.minimal, OWN), finding.reward),
        form=form_of(done.minimal, finding.prompt, verdicts),
        pieces_before=done.pieces_before,
        pieces_after=done.pieces_after,
        one_minimal=done.one_minimal,
        core=done.core,
        core_one_minimal=done.core_one_minimal,
        essential=done.essential,
        echoed=done.echoed,
        queries=case.spent[True],
        cause_queries=case.spent[False],
    )
