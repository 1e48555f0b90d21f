"""Language models: how likely a text is, and samples from a policy."""

from miner.language_models.base import ReferenceLm
from miner.language_models.loading import load_language_model
from miner.language_models.model import LanguageModel, Samples
from miner.language_models.ngram import NGramModel, is_ngram_model

__all__ = ["LanguageModel", "NGramModel", "ReferenceLm", "Samples", "is_ngram_model", "load_language_model"]
