"""Causal language models: how likely a text is, and samples from a policy."""

from miner.language_models.loading import load_language_model
from miner.language_models.model import LanguageModel, Samples

__all__ = ["LanguageModel", "Samples", "load_language_model"]
