"""Texts tried in a finding's place: do they win, and would they be certified?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from corpus.records import Conversation, Finding
from miner.judging.checks import Certificate, Subject
from miner.measuring.triage.shrink import OWN
from miner.rewards.base import Pair
from miner.searching.confirmation import Confirmation


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Tries texts against the RM that the findings fooled, by the rule that confirmed them.

    ``elsewhere`` are prompts to try a text on that is not theirs. ``sampled_by`` is the LM that a finding was sampled
    from, by finding id. An attack's own word vouches for what it
    made, not for parts of it: of constructions only ``repeated_token`` is claimed, which the text shows by itself.
    """

    confirmation: Confirmation
    elsewhere: tuple[Conversation, ...] = ()
    sampled_by: Mapping[str, str] = field(default_factory=dict)

    def pair(self, finding: Finding, text: str, at: int) -> Pair:
        """``text`` on the finding's own prompt, or on the one at ``elsewhere[at]``."""
        return Pair(finding.prompt if at == OWN else self.elsewhere[at], text)

    def rewards(self, tries: Sequence[tuple[Finding, str, int]]) -> npt.NDArray[np.float64]:
        """The rewards that decide, shape (n_tries,); −∞ for what can be no finding: see ``Confirmation.rewards``."""
        pairs = [self.pair(*one) for one in tries]
        return self.confirmation.rewards(pairs, [self.confirmation.bar(_to_beat(f, at)) for f, _, at in tries])

    def wins(self, finding: Finding, reward: float, at: int = OWN) -> bool:
        """By the campaign's criteria; elsewhere the threshold alone decides."""
        return self.confirmation.wins(reward, _to_beat(finding, at))

    def certify(self, texts: Sequence[tuple[Finding, str]]) -> list[Certificate]:
        """A certificate for each text in the place of its finding's response."""
        return self.confirmation.certify(
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


def _to_beat(finding: Finding, at: int) -> float | None:
    return finding.reference_reward if at == OWN else None
