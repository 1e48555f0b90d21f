"""Tuning an attack's hyper-parameters against one RM."""

from miner.campaigns.tuning.report import FILE_NAME, TunedRow, TuningReport, read_tuning
from miner.campaigns.tuning.tune import tune

__all__ = ["FILE_NAME", "TunedRow", "TuningReport", "read_tuning", "tune"]
