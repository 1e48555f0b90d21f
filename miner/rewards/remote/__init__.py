"""Reward models and judges behind HTTP.

Importing this package imports no library; the HTTP client comes with what is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miner.rewards.remote.judge import JudgeClient
    from miner.rewards.remote.opening import open_judge, open_remote
    from miner.rewards.remote.reward_model import RemoteRewardModel

_MODULE_OF = {
    "JudgeClient": "miner.rewards.remote.judge",
    "RemoteRewardModel": "miner.rewards.remote.reward_model",
    "open_judge": "miner.rewards.remote.opening",
    "open_remote": "miner.rewards.remote.opening",
}

__all__ = ["JudgeClient", "RemoteRewardModel", "open_judge", "open_remote"]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'miner.rewards.remote' has no attribute {name!r}")
