"""Finds, certifies, stores and patches responses that fool a reward model.

What most programs need, by its short name; importing this package imports nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miner.campaigns.campaign import Campaign
    from miner.config.campaign import parse_config
    from miner.measuring.overopt.callback import OnsetCallback
    from miner.rewards.loading.classifiers import load_reward_model

_MODULE_OF = {
    "Campaign": "miner.campaigns.campaign",
    "OnsetCallback": "miner.measuring.overopt.callback",
    "load_reward_model": "miner.rewards.loading.classifiers",
    "parse_config": "miner.config.campaign",
}

__all__ = ["Campaign", "OnsetCallback", "load_reward_model", "parse_config"]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
