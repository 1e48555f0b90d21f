"""Reward models behind one interface: a reward from text, fast rankings, and edits that survive re-tokenisation."""

from miner.rewards.base import Pair, RewardModel, SwapRequest
from miner.rewards.identity import cache_folder
from miner.rewards.loading import load_reward_model

__all__ = ["Pair", "RewardModel", "SwapRequest", "cache_folder", "load_reward_model"]
