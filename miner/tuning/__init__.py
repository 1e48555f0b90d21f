"""Tuning an attack's hyper-parameters against one RM."""

from miner.tuning.report import FILE_NAME, TunedRow, TuningReport, read_tuning
from miner.tuning.tune import tune

__all__ = ["FILE_NAME", "TunedRow", "TuningReport", "read_tuning", "tune"]
