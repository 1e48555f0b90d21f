"""What an RM is still good for: choosing among a policy's samples, and telling a fact from its swap."""

from miner.gap.facts import Fact, Facts, docs_facts, read_facts
from miner.gap.measure import measure_selection
from miner.gap.pools import Pool, score_pools
from miner.gap.probe import fact_rates, factual_findings, judge_facts
from miner.gap.report import Choice, GapReport, Selection, read_gap

__all__ = [
    "Choice",
    "Fact",
    "Facts",
    "GapReport",
    "Pool",
    "Selection",
    "docs_facts",
    "fact_rates",
    "factual_findings",
    "judge_facts",
    "measure_selection",
    "read_facts",
    "read_gap",
    "score_pools",
]
