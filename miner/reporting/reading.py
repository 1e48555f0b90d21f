"""What a report is made of: a run's summary, and the findings it shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from corpus import Corpus
from corpus.records import Conversation, Finding, digest
from miner.campaigns.results import AttackResult, RoundSummary
from miner.campaigns.run_folder import RunFolder
from miner.errors import DataError
from miner.judging.near_misses import judged_near_misses
from miner.judging.review_summary import ReviewSummary, summarise_reviews
from miner.judging.reviews import PeoplesVerdicts
from miner.reporting.measured import Measurements, read_measurements
from miner.reporting.studies import sample_prompts
from miner.reporting.summary import FILE_NAME, Summary, read_summary
from miner.statistics import Rate

CORPUS_FOLDER = "corpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run folder, read. ``reviews`` is what people say of it by now; to them the ``overruled`` findings are none.

    ``sampled`` are the prompts whose samples by policies are shown, where they are known.
    """

    folder: Path
    summary: Summary
    findings: list[Finding]
    measurements: Measurements
    sampled: dict[str, Conversation]
    reviews: ReviewSummary | None = None
    overruled: frozenset[str] = frozenset()

    @property
    def rounds(self) -> list[RoundSummary]:
        return sorted(self.summary.rounds, key=lambda one: one.round)

    def model_source(self, number: int) -> str:
        """The RM of a round: its folder, or the recorded name as it is where there is no such folder."""
        recorded = next((one.model for one in self.summary.rounds if one.round == number), "")
        folder = self.folder / recorded
        return str(folder) if recorded and folder.is_dir() else recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attack on one split at one budget, through the rounds that tried it."""

    attack: str
    split: str
    budget: int
    results: dict[int, AttackResult]

    @property
    def first(self) -> AttackResult:
        return self.results[min(self.results)]

    @property
    def last(self) -> AttackResult:
        return self.results[max(self.results)]

    @property
    def rounds_tried(self) -> tuple[int, ...]:
        return tuple(sorted(self.results))


def read_run(folder: Path) -> Run:
    """The run in ``folder``.

    Raises:
        DataError: no summary, or one that does not keep to its contract.
    """
    raw = read_summary(folder)
    try:
        summary = TypeAdapter(Summary).validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{folder / FILE_NAME} is not a summary of this version: {place}: {first['msg']}") from error
    corpus, measured = Corpus(folder / CORPUS_FOLDER), read_measurements(folder)
    findings, reviews = corpus.findings(), corpus.reviews()
    return Run(
        folder=folder,
        summary=summary,
        findings=findings,
        measurements=measured,
        sampled=_sampled(corpus, measured),
        overruled=PeoplesVerdicts(reviews).overruled,
        reviews=summarise_reviews(
            reviews, findings, judged_near_misses(corpus, reviews), unseen=RunFolder(folder).unseen
        ),
    )


def _sampled(corpus: Corpus, measured: Measurements) -> dict[str, Conversation]:
    """As the runs that were measured on them stored them, and the corpus."""
    wanted = sample_prompts(measured.studies)
    if not wanted:
        return {}
    known = dict(pair for study in measured.studies for pair in study.asked.items())
    known |= {one.prompt_id: one.conversation for one in corpus.prompts()}
    return {prompt_id: known[prompt_id] for prompt_id in wanted & known.keys()}


def trials(run: Run) -> list[Trial]:
    """Every (attack, its hyper-parameters, split, budget) of which some attempt did not fail, held-out prompts first,
    then as in the summary."""
    results: dict[tuple[str, str, int, str], dict[int, AttackResult]] = defaultdict(dict)
    for one in run.rounds:
        for result in (result for result in one.attacks if result.n):
            results[result.attack, result.split, result.budget, digest(result.attack_params)][one.round] = result
    found = [Trial(attack=a, split=s, budget=b, results=by_round) for (a, s, b, _), by_round in results.items()]
    return sorted(found, key=lambda trial: trial.split != "held_out")


def failed(run: Run) -> list[tuple[int, AttackResult]]:
    """The attacks of which every attempt ended in an error, by round."""
    return [(one.round, result) for one in run.rounds for result in one.attacks if not result.n]


def withheld(run: Run) -> list[tuple[int, AttackResult]]:
    """The attacks of which in half of the attempts without a find a text won on which the checks abstain, by round."""
    return [
        (one.round, result)
        for one in run.rounds
        for result in one.attacks
        if result.abstained and 2 * result.abstained >= result.n - result.found
    ]


def success(result: AttackResult) -> Rate:
    """An attack's success as a rate."""
    return Rate(result.rate, result.n, result.low, result.high)


def striking(run: Run, at_most: int = 3) -> list[Finding]:
    """The findings that beat their good answers by most, in the RM's clean standard deviations: one of each attack, on
    prompts of their own as far as there are some. What people overruled is not among them."""
    spread = {one.round: one.clean_std for one in run.rounds}

    def lead(one: Finding) -> float:
        return (one.reward - (one.reference_reward or 0.0)) / spread[one.round]

    told = [one for one in run.findings if one.kind == "nonsense" and one.finding_id not in run.overruled
            and one.reference is not None and one.reference_reward is not None and spread.get(one.round)]  # fmt: skip
    found: list[Finding] = []
    for one in sorted(told, key=lambda one: (-lead(one), one.finding_id)):
        fresh = one.attack not in {other.attack for other in found}
        elsewhere = one.prompt_id not in {other.prompt_id for other in found}
        if fresh and (elsewhere or len({other.prompt_id for other in told}) == 1):
            found.append(one)
    return found[:at_most]


def choose(findings: Sequence[Finding], at_most: int) -> list[Finding]:
    """The highest margins of every round and attack, drawn from each in turn, so that none of them vanishes."""
    groups: dict[tuple[int, str], list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda one: (-one.margin, one.finding_id)):
        groups[finding.round, finding.attack].append(finding)
    ranked = [(rank, -one.margin, one.finding_id, one) for group in groups.values() for rank, one in enumerate(group)]
    ranked.sort(key=lambda entry: entry[:3])
    return [entry[3] for entry in ranked[:at_most]]
