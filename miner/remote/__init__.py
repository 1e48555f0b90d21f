"""Reward models and judges behind HTTP.

Importing this package imports no library; the HTTP client comes with what is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miner.remote.judge import JudgeClient
    from miner.remote.opening import open_judge, open_remote
    from miner.remote.reward_model import RemoteRewardModel

_MODULE_OF = {
    "JudgeClient": "miner.remote.judge",
    "RemoteRewardModel": "miner.remote.reward_model",
    "open_judge": "miner.remote.opening",
    "open_remote": "miner.remote.opening",
}

__all__ = ["JudgeClient", "RemoteRewardModel", "open_judge", "open_remote"]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'miner.remote' has no attribute {name!r}")
