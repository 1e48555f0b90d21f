"""People as gold: the scores they gave to stored answers on the review page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus import Corpus
from corpus.records import Review, conversation_id, digest
from miner.errors import DataError
from miner.judging.gold import Answer
from miner.judging.review_statistics import krippendorff_alpha
from miner.judging.reviews import standing
from miner.statistics import Mean

PEOPLE = "people"  # as --gold-rm names them


@dataclass(frozen=True, kw_only=True)
class PeoplesScores:
    """The mean of what people gave to each answer, by item, higher is better.

    ``agreement`` is Krippendorff's α of the scores, their squared distances counting, with n answers that several
    scored; None where there are none.
    """

    by_item: Mapping[str, float]
    agreement: Mean | None
    reviewers: int

    def of(self, prompt_id: str, response: str) -> float | None:
        """None where nobody scored the answer."""
        return self.by_item.get(sample_id(prompt_id, response))


@dataclass(frozen=True, kw_only=True)
class PeoplesGold:
    """People's scores as ``Gold``; it abstains on what nobody scored."""

    people: PeoplesScores
    name: str = "people's scores (rmminer review)"
    needs_reference: bool = False

    @property
    def fingerprint(self) -> str:
        return digest(["people", sorted(self.people.by_item.items())])

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        return [self.people.of(conversation_id(answer.prompt), answer.response) for answer in answers]


def sample_id(prompt_id: str, response: str) -> str:
    """The item of a stored answer."""
    return digest(["sample", prompt_id, response])


def peoples_scores(reviews: Sequence[Review]) -> PeoplesScores:
    """Of all that people said, the scores that stand."""
    given: dict[str, list[float]] = {}
    names = set()
    for one in standing(reviews, "gold"):
        if one.score is not None:
            given.setdefault(one.item_id, []).append(one.score)
            names.add(one.reviewer)
    return PeoplesScores(
        by_item={item: sum(scores) / len(scores) for item, scores in given.items()},
        agreement=krippendorff_alpha([(item, s) for item, scores in given.items() for s in scores], numeric=True),
        reviewers=len(names),
    )


def reviews_of(runs: Iterable[Path]) -> list[Review]:
    """What the runs' corpora hold, each review once; none where there is no corpus."""
    corpora = [Corpus(run / "corpus") for run in dict.fromkeys(runs)]
    return list({one.review_id: one for corpus in corpora if corpus.exists() for one in corpus.reviews()}.values())


def read_peoples_scores(*runs: Path) -> PeoplesScores:
    """What people gave to the answers of these runs, as the runs' corpora hold it.

    Raises:
        DataError: nobody has scored any.
        CorpusError: a corpus cannot be read.
    """
    found = peoples_scores(reviews_of(runs))
    if not found.by_item:
        raise DataError(f"nobody has scored answers of {runs[0]}. Have some scored as gold: rmminer review {runs[0]}")
    return found
