"""Ranks reward models by what it costs to fool them."""

from miner.measuring.benchmark.report import BenchReport, BenchRow, Comparison, Replayed
from miner.measuring.benchmark.run import bench, suite_config
from miner.measuring.benchmark.suite import SUITE, Suite

__all__ = ["SUITE", "BenchReport", "BenchRow", "Comparison", "Replayed", "Suite", "bench", "suite_config"]
