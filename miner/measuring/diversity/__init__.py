"""What optimising against an RM does to creativity: how varied texts are in words and in meaning."""

from miner.measuring.diversity.embedding import SentenceEmbedding, load_embedding
from miner.measuring.diversity.measure import measure_diversity
from miner.measuring.diversity.policy import Settings, Source
from miner.measuring.diversity.report import DiversityReport, Side, read_diversity
from miner.measuring.diversity.writings import Writings, Written, of_findings, read_texts

__all__ = [
    "DiversityReport",
    "SentenceEmbedding",
    "Settings",
    "Side",
    "Source",
    "Writings",
    "Written",
    "load_embedding",
    "measure_diversity",
    "of_findings",
    "read_diversity",
    "read_texts",
]
