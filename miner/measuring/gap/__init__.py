"""What an RM is still good for: choosing among a policy's samples, and telling a fact from its swap."""

from miner.measuring.gap.facts import Fact, Facts, docs_facts, read_facts
from miner.measuring.gap.measure import measure_selection
from miner.measuring.gap.pools import ScoredSamples, score_pools
from miner.measuring.gap.probe import fact_rates, factual_findings, score_facts
from miner.measuring.gap.report import ChoiceValue, GapReport, Selection, read_gap

__all__ = [
    "ChoiceValue",
    "Fact",
    "Facts",
    "GapReport",
    "ScoredSamples",
    "Selection",
    "docs_facts",
    "fact_rates",
    "factual_findings",
    "measure_selection",
    "read_facts",
    "read_gap",
    "score_facts",
    "score_pools",
]
