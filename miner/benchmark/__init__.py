"""Ranks reward models by what it costs to fool them."""

from miner.benchmark.report import BenchReport, BenchRow, Comparison, Replayed
from miner.benchmark.run import bench, suite_config
from miner.benchmark.suite import SUITE, Suite

__all__ = ["SUITE", "BenchReport", "BenchRow", "Comparison", "Replayed", "Suite", "bench", "suite_config"]
