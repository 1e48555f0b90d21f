"""Opens a reward model of any kind from its table in the campaign file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from corpus.records import Conversation
from miner.config.reward_model import RewardModelSection
from miner.rewards.base import RewardModel

References = Mapping[Conversation, str]  # the good answer to each prompt, for RMs that only compare
Opener = Callable[[RewardModelSection, str, References], RewardModel]


def open_reward_model(section: RewardModelSection, references: References, *, source: str | None = None) -> RewardModel:
    """The RM that ``section`` describes; ``source`` stands in for its source where a patched one is wanted.

    Raises:
        ModelError: see the loader of its kind.
    """
    return OPENERS[section.kind](section, source or str(section.source), references)


def _classifier(section: RewardModelSection, source: str, references: References) -> RewardModel:
    del references
    from miner.rewards.loading.classifiers import open_classifier

    if source != section.source:
        section = section.model_copy(update={"source": source, "revision": None})
    return open_classifier(section)


def _remote(section: RewardModelSection, source: str, references: References) -> RewardModel:
    from miner.rewards.remote.opening import open_remote

    return open_remote(section, source, references)


def _pairwise(section: RewardModelSection, source: str, references: References) -> RewardModel:
    from miner.rewards.loading.pairwise_loading import load_pairwise

    return load_pairwise(section, source, references)


def _judge(section: RewardModelSection, source: str, references: References) -> RewardModel:
    del references
    from miner.rewards.loading.judges import load_judge

    return load_judge(section, source)


def _process(section: RewardModelSection, source: str, references: References) -> RewardModel:
    del references
    from miner.rewards.loading.process_models import load_process

    return load_process(section, source)


OPENERS: dict[str, Opener] = {
    "classifier": _classifier,
    "pairwise": _pairwise,
    "judge": _judge,
    "process": _process,
    "remote": _remote,
}
