"""Opens a reward model of any kind from its table in the campaign file."""

from __future__ import annotations

from collections.abc import Mapping

from corpus.records import Conversation
from miner.config.kinds import REWARD_MODELS, kind_called
from miner.config.reward_model import RewardModelSection
from miner.rewards.base import RewardModel

References = Mapping[Conversation, str]  # the good answer to each prompt, for RMs that only compare


def open_reward_model(section: RewardModelSection, references: References, *, source: str | None = None) -> RewardModel:
    """The RM that ``section`` describes; ``source`` stands in for its source where a patched one is wanted.

    Raises:
        ModelError: see the opener of its kind. ConfigError: no such kind is installed.
    """
    rm: RewardModel = kind_called(section.kind, REWARD_MODELS).load()(
        section, source or str(section.source), references
    )
    return rm


def open_scalar(section: RewardModelSection, source: str, references: References) -> RewardModel:
    del references
    from miner.rewards.loading.classifiers import open_classifier

    if source != section.source:
        section = section.model_copy(update={"source": source, "revision": None})
    return open_classifier(section)


def open_remote(section: RewardModelSection, source: str, references: References) -> RewardModel:
    from miner.rewards.remote import opening

    return opening.open_remote(section, source, references)


def open_pairwise(section: RewardModelSection, source: str, references: References) -> RewardModel:
    from miner.rewards.loading.pairwise_loading import load_pairwise

    return load_pairwise(section, source, references)


def open_judge(section: RewardModelSection, source: str, references: References) -> RewardModel:
    del references
    from miner.rewards.loading.judges import load_judge

    return load_judge(section, source)


def open_process(section: RewardModelSection, source: str, references: References) -> RewardModel:
    del references
    from miner.rewards.loading.process_models import load_process

    return load_process(section, source)
