"""The kinds of models as the campaign file describes them; what opens them is imported when one is opened."""

from __future__ import annotations

from miner.config.campaign import PolicySection
from miner.config.kinds import Kind
from miner.config.reward_model import RewardModelSection


class LexiconSection(RewardModelSection):
    """``source`` is a file of words and what they are worth; a liked one counts ``emphasis`` times."""

    emphasis: float = 1.0


class PhrasesSection(PolicySection):
    """``source`` is a file of phrases; a sample is ``phrases_each`` of them."""

    phrases_each: int = 2


LEXICON = Kind(
    opener="outside_miner.models:open_lexicon", section=LexiconSection, example="outside_miner.models:example_lexicon"
)
PHRASES = Kind(
    opener="outside_miner.models:open_phrases", section=PhrasesSection, example="outside_miner.models:example_phrases"
)
