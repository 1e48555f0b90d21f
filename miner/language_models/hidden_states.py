"""What an LM makes of texts that it reads: its mean hidden state and how surprised it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from miner.language_models.batches import batches
from miner.language_models.model import LanguageModel

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ReadTexts:
    """Of one text each: mean surprise per token in nats, and mean hidden state; NaN where the text is empty."""

    surprise: Floats  # (n_texts,)
    hidden: Floats  # (n_texts, hidden)


def read_texts(lm: LanguageModel, texts: Sequence[str]) -> ReadTexts:
    """One pass of ``lm`` over each text, cut at its maximum length."""
    written = [lm.tokenizer(text, add_special_tokens=False)["input_ids"][: lm.max_length - 1] for text in texts]
    width = lm.model.config.get_text_config().hidden_size
    surprise, hidden = np.full(len(texts), np.nan), np.full((len(texts), width), np.nan)
    run: Any = lm.model
    for batch in batches(lm.model, [[lm.start_token, *ids] if ids else [] for ids in written]):
        with torch.inference_mode():
            output = run(input_ids=batch.ids, output_hidden_states=True)
            log_p = output.logits[:, :-1].float().log_softmax(-1)
            nll = -log_p.gather(-1, batch.ids[:, 1:, None])[:, :, 0].double()
            states = output.hidden_states[-1][:, 1:].double()
        for row, (place, length) in enumerate(zip(batch.places, batch.lengths, strict=True)):
            surprise[place] = float(nll[row, : length - 1].mean())
            hidden[place] = states[row, : length - 1].mean(0).cpu().numpy()
    return ReadTexts(surprise=surprise, hidden=hidden)
