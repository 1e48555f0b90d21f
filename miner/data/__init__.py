"""Preference data: every layout people keep it in, read into prompts that are split before anything is mined."""

from miner.data.columns import ColumnMapping
from miner.data.loading import PreferenceData, RowRules, read_preferences
from miner.data.prompts import SPLITS, Prompts, each_split, in_split
from miner.data.report import LeftOut, LoadReport
from miner.data.splits import SplitFractions, split_of

__all__ = [
    "SPLITS",
    "ColumnMapping",
    "LeftOut",
    "LoadReport",
    "PreferenceData",
    "Prompts",
    "RowRules",
    "SplitFractions",
    "each_split",
    "in_split",
    "read_preferences",
    "split_of",
]
