"""What optimising against an RM does to creativity: how varied texts are in words and in meaning."""

from miner.measuring.diversity.embedding import SentenceEmbedding, load_embedding
from miner.measuring.diversity.measure import measure_diversity
from miner.measuring.diversity.policy import MeasuredSource, Settings
from miner.measuring.diversity.report import DiversityReport, MeasuredPolicy, read_diversity
from miner.measuring.diversity.response_sets import PromptResponses, ResponseSets, of_findings, read_texts

__all__ = [
    "DiversityReport",
    "MeasuredPolicy",
    "MeasuredSource",
    "PromptResponses",
    "ResponseSets",
    "SentenceEmbedding",
    "Settings",
    "load_embedding",
    "measure_diversity",
    "of_findings",
    "read_diversity",
    "read_texts",
]
