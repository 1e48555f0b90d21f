"""Preference data read, and nothing of it but the prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.records import Prompt
from miner.data import read_preferences


def load_prompts(source: str | Path, **options: Any) -> list[Prompt]:
    return list(read_preferences(source, **options).prompts)
