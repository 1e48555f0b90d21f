"""How far texts are from clean text in the hidden states of a language model that judges, and how surprised it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from miner.language_models import LanguageModel

Floats = npt.NDArray[np.float64]
SHRINKAGE = 0.1  # towards a sphere: fewer clean texts than dimensions squared
BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Of one text each: mean surprise per token in nats, and mean hidden state; NaN where the text is empty."""

    surprise: Floats  # (n_texts,)
    hidden: Floats  # (n_texts, hidden)


def read(lm: LanguageModel, texts: Sequence[str]) -> Reading:
    """One pass of ``lm`` over each text, cut at its maximum length."""
    ids = [lm.tokenizer(text, add_special_tokens=False)["input_ids"][: lm.max_length - 1] for text in texts]
    width = lm.model.config.get_text_config().hidden_size
    surprise, hidden = np.full(len(texts), np.nan), np.full((len(texts), width), np.nan)
    order = sorted((i for i in range(len(texts)) if ids[i]), key=lambda i: len(ids[i]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        longest = max(len(ids[i]) for i in batch)
        rows = torch.tensor([[lm.start_token, *ids[i], *[lm.start_token] * (longest - len(ids[i]))] for i in batch])
        counts = torch.tensor([len(ids[i]) for i in batch])
        mask = (torch.arange(longest) < counts[:, None]).to(lm.model.device)
        rows = rows.to(lm.model.device)
        with torch.inference_mode():
            run: Any = lm.model
            output = run(input_ids=rows, output_hidden_states=True)
            nll = torch.nn.functional.cross_entropy(
                output.logits[:, :-1].flatten(0, 1).float(), rows[:, 1:].flatten(), reduction="none"
            ).view(len(batch), longest)
            states = output.hidden_states[-1][:, 1:].float()
            n = mask.sum(1)
            surprise[batch] = ((nll * mask).sum(1) / n).double().cpu().numpy()
            hidden[batch] = ((states * mask[:, :, None]).sum(1) / n[:, None]).double().cpu().numpy()
    return Reading(surprise=surprise, hidden=hidden)


@dataclass(frozen=True, kw_only=True)
class CleanSpace:
    """The cloud of clean texts: its mean and (shrunk) inverse covariance."""

    mean: Floats
    precision: Floats

    @classmethod
    def of(cls, hidden: Floats) -> CleanSpace:
        """From clean texts' hidden states, shape (n_texts, hidden)."""
        known = hidden[~np.isnan(hidden).any(1)]
        covariance = np.cov(known.T)
        sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        return cls(mean=known.mean(0), precision=np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * sphere))

    def distances(self, hidden: Floats) -> Floats:
        """Mahalanobis distance per root dimension, about 1 for clean text: shape (n_texts,)."""
        apart = hidden - self.mean
        squared = np.einsum("id,de,ie->i", apart, self.precision, apart)
        distances: Floats = np.sqrt(squared / len(self.mean))
        return distances
