"""Texts tried in a finding's place: do they win, and would they be certified?"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from corpus.records import Conversation, Finding
from miner.campaigns.evaluation import takes
from miner.errors import TooLongError
from miner.judging.checks import Judge, Subject
from miner.judging.checks.verdict import Certificate
from miner.judging.criteria import Criteria
from miner.measuring.triage.shrink import OWN
from miner.rewards.base import Pair, RewardModel

EXACT_TOLERANCE = 1e-4  # what ``exact_rewards`` promises: a win by less might be none alone in its batch


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The RM that the findings fooled, its bar, and the campaign's judge.

    ``elsewhere`` are prompts to try a text on that is not theirs. ``sampled_by`` is the LM that a finding was sampled
    from, by finding id. An attack's own word vouches for what it
    made, not for parts of it: of constructions only ``repeated_token`` is claimed, which the text shows by itself.
    """

    rm: RewardModel
    criteria: Criteria
    judge: Judge
    elsewhere: tuple[Conversation, ...] = ()
    sampled_by: Mapping[str, str] = field(default_factory=dict)

    def pair(self, finding: Finding, text: str, at: int) -> Pair:
        """``text`` on the finding's own prompt, or on the one at ``elsewhere[at]``."""
        return Pair(finding.prompt if at == OWN else self.elsewhere[at], text)

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """Exact rewards, shape (n_pairs,); −∞ for what can be no finding: too long for the RM, or not plain text."""
        rewards = np.full(len(pairs), -np.inf)
        plain = [i for i, pair in enumerate(pairs) if self._is_plain(pair.response)]
        try:
            rewards[plain] = self._exact([pairs[i] for i in plain])
        except TooLongError:  # pieces that were apart may be more tokens together
            short = [i for i in plain if takes(self.rm, [pairs[i]])]
            rewards[short] = self._exact([pairs[i] for i in short])
        return rewards

    def wins(self, finding: Finding, reward: float, at: int = OWN) -> bool:
        """By the campaign's criteria, and by more than rounding; elsewhere the threshold alone decides."""
        return self.criteria.wins(reward - EXACT_TOLERANCE, finding.reference_reward if at == OWN else None)

    def certify(self, texts: Sequence[tuple[Finding, str]]) -> list[Certificate]:
        """A certificate for each text in the place of its finding's response."""
        return self.judge.certify(
            [
                Subject(
                    response=text,
                    prompt=finding.prompt,
                    reference=finding.reference,
                    construction="repeated_token",
                    sampled_by=self.sampled_by.get(finding.finding_id),
                )
                for finding, text in texts
            ]
        )

    def _exact(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return self.rm.exact_rewards(pairs) if pairs else np.empty(0)

    def _is_plain(self, text: str) -> bool:
        """What is left together may spell a special token."""
        controls = (char for char in text if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t")
        return bool(text) and next(controls, None) is None and not any(one in text for one in self.rm.special_tokens)
