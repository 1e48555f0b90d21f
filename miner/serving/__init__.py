"""Offers a reward model over HTTP, for ``miner.rewards.remote`` and for clients of vLLM's pooling API."""

from miner.serving.batcher import Batcher
from miner.serving.server import RewardServer, serve

__all__ = ["Batcher", "RewardServer", "serve"]
