"""The prompts that an RM is examined on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.records import Prompt
from miner.checkpoints.identity import cache_folder
from miner.config.campaign import CampaignConfig
from miner.progress import Observer
from miner.worlds.docs.world import DocsWorld
from miner.worlds.opening import read_prompts
from miner.worlds.world import spread


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminedPrompts:
    """Prompts with references, and what to call them."""

    prompts: tuple[Prompt, ...]
    name: str


def prompts_to_examine(config: CampaignConfig, n: int, observer: Observer) -> ExaminedPrompts:
    """At most ``n`` prompts with references, spread over their groups: of docs world's the held-out ones, else all.

    Raises:
        DataError: from the data.
    """
    pool: Sequence[Prompt]
    if config.data.world == "docs":
        pool, name = DocsWorld.load(cache_folder() / "docsworld").prompts("held_out"), "docstrings"
    else:
        pool, name = read_prompts(config, observer), Path(str(config.data.source)).name
    usable = [prompt for prompt in pool if prompt.reference]
    chosen = spread(usable, min(n, len(usable)), seed=config.seed)
    return ExaminedPrompts(prompts=chosen, name=f"{len(chosen)} prompts of {name}")
