"""Where the type of reward arrays was: gold itself is ``miner.gold``."""

from __future__ import annotations

from miner.gold import Floats

__all__ = ["Floats"]
