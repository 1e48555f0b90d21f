"""Which code made an attempt."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.records import digest

if TYPE_CHECKING:
    from attacks import Attack

_SEARCH_CODE = ("driver.py", "attempts.py", "oracle.py")


@lru_cache(maxsize=1)
def package_version() -> str:
    return version("rmminer")


def code_version(attack: Attack) -> str:
    """The package's version and a digest of the attack's and the driver's source: ``0.1.0+1a2b3c4d``."""
    return f"{package_version()}+{digest([_source_digest(type(attack)), _driver_digest()])[:8]}"


@lru_cache
def _source_digest(attack: type[Attack]) -> str:
    return attack.source_digest()


@lru_cache(maxsize=1)
def _driver_digest() -> str:
    here = Path(__file__).parent
    return digest([(here / name).read_text(encoding="utf-8") for name in _SEARCH_CODE])
