"""Texts that people call sensible: what thresholds of checks can learn from, beside clean text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from corpus import Corpus
from corpus.records import Conversation
from miner.errors import ConfigError
from miner.judging.checks.base import Subject
from miner.judging.near_misses import near_misses
from miner.judging.reviews import PeoplesVerdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedText:
    """One of them, on its prompt."""

    response: str
    prompt: Conversation
    reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedTexts:
    """All of a run's."""

    texts: tuple[ReviewedText, ...]

    @property
    def subjects(self) -> list[Subject]:
        return [Subject(response=one.response, prompt=one.prompt, reference=one.reference) for one in self.texts]


def sensible_texts(run: Path) -> ReviewedTexts:
    """Findings and near misses of ``run`` that most reviewers call sensible, on train prompts alone: what held-out
    prompts show stays unseen.

    Raises:
        ConfigError: the run has no corpus, or nobody called such a text sensible.
        CorpusError: its corpus cannot be read.
    """
    corpus = Corpus(run / "corpus")
    if not corpus.exists():
        raise ConfigError(f"no corpus in {run}; checks.reviewed names the folder of a run that people reviewed")
    reviews = corpus.reviews()
    overruled, let_go = (PeoplesVerdicts(reviews, mode).overruled for mode in ("verdicts", "near_misses"))
    found = {
        ReviewedText(response=one.response, prompt=one.prompt, reference=one.reference)
        for one in corpus.findings()
        if one.split == "train" and one.finding_id in overruled
    }
    found |= {
        ReviewedText(response=one.response, prompt=one.prompt, reference=one.reference)
        for one in (near_misses(corpus) if let_go else ())
        if one.split == "train" and one.item_id in let_go
    }
    if not found:
        raise ConfigError(
            f"nobody has called a text of {run} on a train prompt sensible: the checks have nothing to learn from it. "
            "Leave checks.reviewed out, or review more: rmminer review"
        )
    return ReviewedTexts(texts=tuple(sorted(found, key=repr)))
