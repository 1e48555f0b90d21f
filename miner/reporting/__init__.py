"""A run as one self-contained HTML page and the same plots as PNG files.

Reads ``summary.json`` and ``corpus/`` of a run folder and nothing else; only attribution loads reward models.
"""

from miner.reporting.attribution import Attribution
from miner.reporting.writing import ReportFiles, write_report
from miner.rewards.base import TokenAttribution

__all__ = ["Attribution", "ReportFiles", "TokenAttribution", "write_report"]
