"""The tiny models of the tests of reward models."""

from __future__ import annotations

from tests.rewards.conftest import _one_thread_and_no_network, cache_root

__all__ = ["_one_thread_and_no_network", "cache_root"]
