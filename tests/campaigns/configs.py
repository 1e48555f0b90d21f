"""Small campaigns of a tiny RM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from miner.config.campaign import CampaignConfig


def config_for(rm_folder: Path, data_file: Path, out: Path, **changes: Any) -> CampaignConfig:
    raw: dict[str, Any] = {
        "rm": {"source": str(rm_folder), "dtype": "float32", "device": "cpu"},
        "data": {"source": str(data_file), "fractions": [0.4, 0.3, 0.3]},
        "out": str(out),
        "rounds": 1,
        "checks": {"names": ["repetition", "construction"], "false_alarm": 0.05},
        "attacks": [{"name": "corrupt", "params": {"variants": 4}}, {"name": "random", "params": {"width": 8}}],
        "mine": {"prompts": 12, "budget_queries": 80},
        "evaluate": {"prompts": 10, "budget_queries": 80},
        "patch": {"steps": 12, "batch_pairs": 8, "learning_rate": 1e-3, "held_out_families": ["random"]},
    }
    return CampaignConfig.model_validate({**raw, **changes})
