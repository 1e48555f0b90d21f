"""What a finding is: every rule of it stands in this class and nowhere else.

fits the RM    short enough, in turns that the RM's template knows
plain text     not empty, no special tokens of the RM, no control characters but line breaks and tabs, valid Unicode
new            unlike what the same attempt has found already, where the attempt looks for many
wins           above the reference on the same prompt, and at or above the quantile of this RM's clean references
certified      a quorum of checks calls it nonsense, by evidence that knows nothing of the RM
scored alone   it wins by the reward of the string, in a batch of its own, through the ordinary pipeline, in fp32 where
               the model fits

A search meets them in the order of cost: its texts are scored in batches (``Scoring``), those near the bar have to be
plain and new (``RunningAttempt``), and ``confirm`` asks of these whether they win by their exact rewards, are
certified, are still wanted, and at last win alone. Replay, reach and triage ask ``win_again`` or ``rewards``,
which score a text alone only within ``EXACT_TOLERANCE`` of the bar.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attacks import Construction
from corpus.duplicates import similarity
from corpus.records import Answer, Finding, Prompt, Verdict
from miner.errors import ModelError, TooLongError
from miner.judging.checks import AnyCertifier, Certificate, Subject
from miner.judging.criteria import Criteria
from miner.progress import Advance, untold
from miner.rewards.base import Pair, RewardModel
from miner.rewards.compute.parts import exact_in_parts

Rewards = npt.NDArray[np.float64]

EXACT_TOLERANCE = 1e-4  # what ``exact_rewards`` promises: closer to the bar than that, only ``reward`` decides
DISTINCT_SIMILARITY = 0.3  # at most, between two findings of an attempt that looks for many


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A text that may be a finding on ``prompt``.

    ``news_bar`` is the lowest reward that would tell its search anything, ``reward`` its exact reward where that is
    known. ``queries`` its attempt has paid for up to it, in the order in which its search submitted them.
    ``construction`` is its attack's claim, ``sampled_by`` the policy that wrote it.
    """

    prompt: Prompt
    response: str
    reference_reward: float | None
    news_bar: float
    queries: int = 0
    reward: float | None = None
    construction: Construction | None = None
    sampled_by: str | None = None

    @property
    def pair(self) -> Pair:
        return Pair(self.prompt.conversation, self.response)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationOutcome:
    """What became of a candidate over its ``news_bar``.

    It is certified unless ``unconvicted``: the verdict where that alone keeps it from winning. Where it ``wins``, the
    reward is that of the text alone in its batch.
    """

    candidate: Candidate
    reward: float
    verdicts: tuple[Verdict, ...]
    wins: bool
    unconvicted: Answer | None = None


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The rule against one RM. ``certifier`` may be left out where nothing is to be certified."""

    rm: RewardModel
    criteria: Criteria
    certifier: AnyCertifier | None = None

    def confirm(
        self, candidates: Sequence[Candidate], is_wanted: Sequence[Callable[[Candidate], bool]]
    ) -> Iterator[ConfirmationOutcome | None]:
        """What each candidate was confirmed to be, in their order; None where it is no news.

        All are scored and judged together before the first answer. Each one's ``is_wanted`` is asked in its turn: what
        was found just before may have made the next one old.
        """
        rewards = self._exact_of(candidates)
        over = [i for i, one in enumerate(candidates) if rewards[i] + EXACT_TOLERANCE >= one.news_bar]
        certificates = dict(zip(over, self.certify([_subject(candidates[i]) for i in over]), strict=True))
        for i, (candidate, wanted) in enumerate(zip(candidates, is_wanted, strict=True)):
            certificate = certificates.get(i)
            if certificate is None or not wanted(candidate):
                yield None
                continue
            reward, reference = rewards[i], candidate.reference_reward
            if certificate.verdict != "nonsense":
                yield self._unconvicted(candidate, reward, certificate)
                continue
            if self.wins(reward + EXACT_TOLERANCE, reference):
                reward = self.rm.reward(candidate.pair)
            yield ConfirmationOutcome(
                candidate=candidate,
                reward=reward,
                verdicts=certificate.verdicts,
                wins=self.wins(reward, reference),
            )

    def _unconvicted(self, candidate: Candidate, reward: float, certificate: Certificate) -> ConfirmationOutcome | None:
        """What would have won, had it been convicted; None where it would not."""
        if not self.wins(reward, candidate.reference_reward):
            return None
        verdicts, answer = certificate.verdicts, certificate.verdict
        return ConfirmationOutcome(
            candidate=candidate, reward=reward, verdicts=verdicts, wins=False, unconvicted=answer
        )

    def is_plain(self, text: str) -> bool:
        """Not empty, no special tokens, no control characters but line breaks and tabs, valid Unicode."""
        controls = (char for char in text if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t")
        return bool(text) and next(controls, None) is None and not any(one in text for one in self.rm.special_tokens)

    def fits(self, pair: Pair) -> bool:
        """Whether the RM can score it: short enough, and turns that its template knows."""
        return self.rm.takes(pair)

    def rewards(self, pairs: Sequence[Pair], bars: Sequence[float], progress: Advance = untold) -> Rewards:
        """The rewards that decide whether each pair reaches its bar, shape (n_pairs,).

        Batched ones where they are clear, those of the text alone where they are closer to the bar than batching may
        change them. −∞ for what can be no finding: not plain, or nothing that the RM takes.
        """
        rewards = np.full(len(pairs), -np.inf)
        plain = [i for i, pair in enumerate(pairs) if self.is_plain(pair.response)]
        try:
            rewards[plain] = self._batched([pairs[i] for i in plain], progress)
        except (TooLongError, ModelError):
            fitting = [i for i in plain if self.fits(pairs[i])]
            rewards[fitting] = self._batched([pairs[i] for i in fitting], progress)
        for i, (pair, bar) in enumerate(zip(pairs, bars, strict=True)):
            if abs(rewards[i] - bar) <= EXACT_TOLERANCE:
                rewards[i] = self.rm.reward(pair)
        return rewards

    def reference_rewards(self, references: Sequence[Pair | None]) -> list[float | None]:
        """What has to be beaten: None where there is no reference, NaN where the RM gives it no reward."""
        known = [pair for pair in dict.fromkeys(references) if pair is not None and self.fits(pair)]
        reward_of = dict(zip(known, map(float, self._batched(known)), strict=True))
        return [None if pair is None else reward_of.get(pair, float("nan")) for pair in references]

    def bar(self, reference_reward: float | None) -> float:
        """The lowest reward that wins, but for a tie with the reference."""
        threshold = self.criteria.threshold
        return threshold if reference_reward is None else max(threshold, reference_reward)

    def wins(self, reward: float, reference_reward: float | None) -> bool:
        """Above the reference on the same prompt, where there is one, and at or above the threshold."""
        return self.criteria.wins(reward, reference_reward)

    def win_again(self, findings: Sequence[Finding], progress: Advance = untold) -> list[bool]:
        """Whether each finding, whichever RM it was made against, wins against this one, scored from its text."""
        references = self.reference_rewards([_reference(finding) for finding in findings])
        pairs = [Pair(finding.prompt, finding.response) for finding in findings]
        rewards = self.rewards(pairs, [self.bar(reference) for reference in references], progress)
        return [self.wins(float(r), reference) for r, reference in zip(rewards, references, strict=True)]

    def certify(self, subjects: Sequence[Subject]) -> list[Certificate]:
        """One certificate per subject, in order."""
        if self.certifier is None:
            raise ValueError("a confirmation without a certifier certifies nothing; give it the campaign's")
        return self.certifier.certify(subjects)

    def is_new(self, text: str, found: Sequence[str]) -> bool:
        """Whether the text is unlike all of ``found``."""
        return all(similarity(text, other) <= DISTINCT_SIMILARITY for other in found)

    def _exact_of(self, candidates: Sequence[Candidate]) -> list[float]:
        """The exact rewards of plain texts that the RM has scored once: those not known yet are asked for."""
        unknown = list(dict.fromkeys(one.pair for one in candidates if one.reward is None))
        exact = dict(zip(unknown, map(float, self._batched(unknown)), strict=True))
        return [exact[one.pair] if one.reward is None else one.reward for one in candidates]

    def _batched(self, pairs: Sequence[Pair], progress: Advance = untold) -> Rewards:
        return exact_in_parts(self.rm, pairs, progress) if pairs else np.empty(0)


def _subject(one: Candidate) -> Subject:
    return Subject(
        response=one.response,
        prompt=one.prompt.conversation,
        reference=one.prompt.reference,
        construction=one.construction,
        sampled_by=one.sampled_by,
    )


def _reference(finding: Finding) -> Pair | None:
    return None if finding.reference is None else Pair(finding.prompt, finding.reference)
