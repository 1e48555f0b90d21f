"""The command line: one verb per stage. Nothing heavy is imported before a verb runs."""

from miner.cli.entry import main

__all__ = ["main"]
