"""Reward models behind one interface: a reward from text, fast rankings, and edits that survive re-tokenisation.

Importing this package imports no library; torch comes with ``load_reward_model``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miner.rewards.base import Pair, RewardModel, SwapRequest
    from miner.rewards.loading.classifiers import load_reward_model

_MODULE_OF = {
    "Pair": "miner.rewards.base",
    "RewardModel": "miner.rewards.base",
    "SwapRequest": "miner.rewards.base",
    "load_reward_model": "miner.rewards.loading.classifiers",
}

__all__ = ["Pair", "RewardModel", "SwapRequest", "load_reward_model"]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'miner.rewards' has no attribute {name!r}")
