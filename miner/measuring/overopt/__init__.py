"""Policies that game a reward model: when it starts, what it costs, and how to stop in time.

Importing this loads neither torch nor trl; what trains does so when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miner.measuring.overopt.settings import RlSettings

if TYPE_CHECKING:
    from miner.measuring.overopt.callback import OnsetCallback

__all__ = ["OnsetCallback", "RlSettings"]


def __getattr__(name: str) -> object:
    if name == "OnsetCallback":
        from miner.measuring.overopt.callback import OnsetCallback

        return OnsetCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
