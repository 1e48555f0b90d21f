from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache_root(cache: Path) -> Path:
    """These tests start processes of their own, which are told of the cache that all tests share."""
    return cache
