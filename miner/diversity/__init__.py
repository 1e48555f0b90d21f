"""What optimising against an RM does to creativity: how varied texts are in words and in meaning."""

from miner.diversity.embedding import SentenceEmbedding, load_embedding
from miner.diversity.measure import Settings, Source, measure_diversity
from miner.diversity.report import DiversityReport, Side, read_diversity
from miner.diversity.writings import Writings, Written, of_findings, read_texts

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
