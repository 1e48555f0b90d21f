"""How far a policy has moved from its reference, and how sure of itself it is, on what it has written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Floats = npt.NDArray[np.float64]
BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Per answer: nats from the reference over the whole answer, and mean entropy per token."""

    kl: Floats
    entropy: Floats


def diverge(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
) -> Divergence:
    """The sum over an answer's tokens of KL(policy ‖ reference) over the whole vocabulary.

    The mean over sampled answers is unbiased for the sequence KL, and its variance is smaller than that of log-ratios
    of the tokens drawn.
    """
    kl, entropy = np.full(len(answers), np.nan), np.full(len(answers), np.nan)
    for start in range(0, len(answers), BATCH):
        batch = range(start, min(start + BATCH, len(answers)))
        rows = [[*prompts[i], *answers[i]] for i in batch]
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=policy.device)
        written = torch.zeros(ids.shape, dtype=torch.bool, device=policy.device)
        for at, i in enumerate(batch):
            written[at, len(prompts[i]) - 1 : len(rows[at]) - 1] = True  # positions that predict an answer's token
        with torch.inference_mode():  # causal: padding on the right is inert
            ours, theirs = (_log_p(model, ids, written) for model in (policy, reference))
            odds = ours.exp()
            per_token = torch.stack([(odds * (ours - theirs)).sum(-1), -(odds * ours).sum(-1)])
        totals = torch.zeros(2, *ids.shape, device=policy.device)
        totals[:, written] = per_token
        sums = totals.double().sum(2).cpu().numpy()
        n = written.sum(1).double().cpu().numpy()
        kl[list(batch)], entropy[list(batch)] = sums[0], sums[1] / np.maximum(n, 1)
    return Divergence(kl=kl, entropy=entropy)


def _log_p(model: PreTrainedModel, ids: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
    """Log-probabilities at the positions marked: (n_marked, vocabulary)."""
    run: Any = model
    log_p: torch.Tensor = run(input_ids=ids, use_cache=False).logits[written].float().log_softmax(-1)
    return log_p
