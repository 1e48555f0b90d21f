"""Texts tried in a finding's place: do they win, and would they be certified?"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from corpus.records import Finding
from miner.checks import Judge, Subject
from miner.checks.verdict import Certificate
from miner.criteria import Criteria
from miner.errors import TooLongError
from miner.evaluation import takes
from miner.rewards.base import Pair, RewardModel

EXACT_TOLERANCE = 1e-4  # what ``exact_rewards`` promises: a win by less might be none alone in its batch


@dataclass(frozen=True, slots=True)
class Trial:
    """A text in the place of a finding's response."""

    finding: Finding
    text: str

    @property
    def pair(self) -> Pair:
        return Pair(self.finding.prompt, self.text)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The RM that the findings fooled, its bar, and the campaign's judge.

    ``sampled_by`` is the LM that a finding was sampled from, by finding id. An attack's own word vouches for what it
    made, not for parts of it: of constructions only ``repeated_token`` is claimed, which the text shows by itself.
    """

    rm: RewardModel
    criteria: Criteria
    judge: Judge
    sampled_by: dict[str, str] = field(default_factory=dict)

    def rewards(self, trials: Sequence[Trial]) -> npt.NDArray[np.float64]:
        """Exact rewards, shape (n_trials,); −∞ for what can be no finding: too long for the RM, or not plain text."""
        rewards = np.full(len(trials), -np.inf)
        plain = [i for i, trial in enumerate(trials) if self._is_plain(trial.text)]
        try:
            rewards[plain] = self._exact([trials[i].pair for i in plain])
        except TooLongError:  # pieces that were apart may be more tokens together
            short = [i for i in plain if takes(self.rm, [trials[i].pair])]
            rewards[short] = self._exact([trials[i].pair for i in short])
        return rewards

    def wins(self, finding: Finding, reward: float) -> bool:
        """By the campaign's criteria, on the finding's own prompt, and by more than rounding."""
        return self.criteria.wins(reward - EXACT_TOLERANCE, finding.reference_reward)

    def certify(self, trials: Sequence[Trial]) -> list[Certificate]:
        return self.judge.certify(
            [
                Subject(
                    response=trial.text,
                    prompt=trial.finding.prompt,
                    reference=trial.finding.reference,
                    construction="repeated_token",
                    sampled_by=self.sampled_by.get(trial.finding.finding_id),
                )
                for trial in trials
            ]
        )

    def _exact(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return self.rm.exact_rewards(pairs) if pairs else np.empty(0)

    def _is_plain(self, text: str) -> bool:
        """What is left together may spell a special token."""
        controls = (char for char in text if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t")
        return bool(text) and next(controls, None) is None and not any(one in text for one in self.rm.special_tokens)
