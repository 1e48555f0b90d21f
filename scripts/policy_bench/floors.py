"""What the gold of the stored runs gives to answers that answer nothing. They were made with plain overlap, ROUGE-L
with the reference, which a constant can earn; runs made since carry the floor of their own gold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from miner.checkpoints.identity import cache_folder
from miner.errors import DataError
from miner.files import replace_text
from miner.judging.gold import Answer, gold_floor
from miner.judging.overlap import rouge_l
from miner.worlds.docs.world import DocsWorld


@dataclass(frozen=True)
class Overlap:
    """The gold of the stored runs."""

    name: str = "overlap with the reference"
    fingerprint: str = "605a7c80777818cb5609b5030a4a72a0"
    needs_reference: bool = True

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        return [None if one.reference is None else rouge_l(one.response, one.reference) for one in answers]


def floor(results: Path) -> dict[str, Any]:
    """The floor on docs world's held-out prompts, written into every stored run that was told with overlap."""
    prompts = DocsWorld.load(cache_folder() / "docsworld").prompts("held_out")
    found = gold_floor(Overlap(), prompts)
    if found is None:
        raise DataError("docs world has no two held-out references")
    told = 0
    for path in sorted(results.glob("*/*/run.json")):
        info = json.loads(path.read_text(encoding="utf-8"))
        if info["models"].get("gold") == Overlap.fingerprint:
            replace_text(path, json.dumps(info | {"floor": asdict(found)}, indent=1) + "\n")
            told += 1
    return {**asdict(found), "prompts": len(prompts), "runs": told}
