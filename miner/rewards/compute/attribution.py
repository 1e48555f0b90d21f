"""Which tokens of a response earn its reward: integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365).

The path runs from a response of nothing but the mask (or padding) token to the response itself; the prompt and the
special tokens stay. Along it captum integrates the gradient at the input embeddings, so that the attributions sum to
the reward minus the reward of the masked response, up to a completeness error that is kept with every result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from miner.checkpoints.devices import device_of
from miner.rewards.base import Pair, TokenAttribution
from miner.rewards.compute.forward import Forward

if TYPE_CHECKING:
    import torch

    from miner.rewards.text.pipeline import Encoded


def attribute(forward: Forward, pair: Pair, *, n_steps: int = 16) -> TokenAttribution | None:
    """Per token of the response its share of the reward; None where the RM's pipeline locates no response token.

    Raises:
        TooLongError: as ``RewardModel.reward``.
    """
    import torch
    from captum.attr import IntegratedGradients

    encoded = forward.pipeline.encode(pair)
    if not encoded.positions:
        return None
    response = list(encoded.positions)
    ids = torch.tensor([encoded.ids], device=device_of(forward.model))
    masked = ids.clone()
    masked[0, response] = baseline_token(forward)
    embed = forward.model.get_input_embeddings()
    with torch.no_grad():
        start, end = embed(masked), embed(ids)  # (1, n_tokens, hidden)
    parts, error = IntegratedGradients(_RewardOfEmbeddings(forward, encoded)).attribute(
        end,
        baselines=start,
        n_steps=n_steps,
        internal_batch_size=max(1, forward.budget.batch_tokens // (4 * len(encoded.ids))),  # a backward pass holds ~4
        return_convergence_delta=True,
    )
    values = parts[0].detach().double().sum(-1)[response]  # (n_positions,)
    return TokenAttribution(
        spans=encoded.spans,
        values=tuple(values.tolist()),
        reward=forward.alone(pair).reward,
        rise=float(values.sum()) - float(error[0]),
        completeness_error=float(error[0]),
    )


@dataclass(frozen=True, slots=True)
class _RewardOfEmbeddings:
    """The RM as a function of its token embeddings; ids still say where the model reads its reward."""

    forward: Forward
    encoded: Encoded

    def __call__(self, embeddings: torch.Tensor) -> torch.Tensor:
        rows = [(self.encoded.ids, self.encoded.type_ids)] * len(embeddings)
        module = self.forward.model.get_input_embeddings()
        hook = module.register_forward_hook(lambda _module, _inputs, _output: embeddings)
        try:
            return self.forward.logits_for_training(self.forward.model, rows)
        finally:
            hook.remove()


def baseline_token(forward: Forward) -> int:
    """The id that stands for no token: the mask, else padding, else the end of text."""
    tokenizer = forward.pipeline.tokenizer
    candidates = (tokenizer.mask_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((int(token) for token in candidates if token is not None), 0)
