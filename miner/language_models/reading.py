"""What a policy thinks while responses are read: the next-token distribution at every position of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from corpus.records import Conversation
from miner.errors import ModelError, TooLongError
from miner.language_models.batches import batches
from miner.language_models.model import LanguageModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """Token ids; the distributions behind the last ``n`` of them count."""

    ids: list[int]
    n: int


@dataclass(frozen=True, slots=True)
class Barred:
    """Tokens that are not drawn at an answer's first so many ``positions``."""

    tokens: tuple[int, ...]
    positions: int

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """Which of a vocabulary's entries they are: (vocabulary,)."""
        found = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
        found[list(self.tokens)] = True
        return found


NOTHING_BARRED = Barred((), 0)


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Per answer: nats from the reference over the whole answer, and mean entropy per token."""

    kl: Floats
    entropy: Floats


def next_token_entropy(
    policy: LanguageModel, prompt: Conversation, responses: Sequence[str], *, max_new_tokens: int
) -> list[Floats]:
    """Per response the entropy in nats of the next token before each of its tokens, and before its end.

    Of the whole distribution, temperature 1. A response of ``max_new_tokens`` or more was cut: its end is no choice of
    the policy's and does not count.

    Raises:
        TooLongError: prompt and response together exceed the maximum length.
    """
    return _at_positions([policy.model], _spans(policy, prompt, responses, max_new_tokens), _entropy)


def divergence(
    policy: LanguageModel, other: LanguageModel, prompt: Conversation, responses: Sequence[str], *, max_new_tokens: int
) -> Floats:
    """Per response the KL of ``policy`` from ``other`` in nats, summed over its positions.

    Averaged over the policy's own samples this is the sequence-level KL, without the noise of the log ratio.

    Raises:
        ModelError: the two do not share a vocabulary.
        TooLongError: as ``next_token_entropy``.
    """
    if not same_vocabulary(policy, other):
        raise ModelError(f"{policy.name} and {other.name} do not share a tokenizer: no KL between them is defined")
    spans = _spans(policy, prompt, responses, max_new_tokens)
    return np.array([values.sum() for values in _at_positions([policy.model, other.model], spans, _kl)])


def diverge(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    *,
    barred: Barred = NOTHING_BARRED,
) -> Divergence:
    """How far ``policy`` has moved from ``reference``, and how sure it is, on answers given as token ids.

    Both are the policies that answers are sampled from: without the tokens that are ``barred``.

    The mean over sampled answers of these sums of whole-vocabulary KLs is unbiased for the sequence KL, and its
    variance is smaller than that of log-ratios of the tokens drawn.
    """
    spans = [Span([*p, *a[:-1]], len(a)) for p, a in zip(prompts, answers, strict=True)]
    found = _at_positions(
        [policy, reference], spans, lambda ours, theirs: torch.stack([_kl(ours, theirs), _entropy(ours)], -1), barred
    )
    sums = np.array([values.sum(0) if len(values) else (0.0, 0.0) for values in found]).reshape(-1, 2)
    return Divergence(kl=sums[:, 0], entropy=sums[:, 1] / np.maximum([span.n for span in spans], 1))


def same_vocabulary(policy: LanguageModel, other: LanguageModel) -> bool:
    """Whether the two read the same token ids the same way."""
    return (
        policy.tokenizer.get_vocab() == other.tokenizer.get_vocab()
        and policy.model.config.vocab_size == other.model.config.vocab_size
        and policy.tokenizer.chat_template == other.tokenizer.chat_template
    )


def _spans(policy: LanguageModel, prompt: Conversation, responses: Sequence[str], max_new_tokens: int) -> list[Span]:
    head, spans = policy.prompt_ids(prompt), []
    for written in policy.response_ids(responses):
        n = min(len(written) + 1, max_new_tokens)
        ids = [*head, *written[: n - 1]]
        if len(ids) > policy.max_length:
            raise TooLongError(f"prompt and response of {len(ids)} tokens exceed the {policy.max_length} that "
                               f"{policy.name} reads. Lower max_new_tokens")  # fmt: skip
        spans.append(Span(ids, n))
    return spans


def _at_positions(
    models: Sequence[PreTrainedModel],
    spans: Sequence[Span],
    statistic: Callable[..., torch.Tensor],
    barred: Barred = NOTHING_BARRED,
) -> list[Floats]:
    """Per span the ``statistic`` at each position that counts: (n, …). It is given one (n_positions, vocabulary) of
    log-probabilities per model."""
    found: list[Floats] = [np.zeros(0)] * len(spans)
    for batch in batches(models[0], [span.ids for span in spans]):
        counted, early = torch.zeros((2, *batch.ids.shape), dtype=torch.bool)
        for row, (place, length) in enumerate(zip(batch.places, batch.lengths, strict=True)):
            counted[row, length - spans[place].n : length] = True
            early[row, length - spans[place].n : length - spans[place].n + barred.positions] = True
        with torch.inference_mode():
            values = statistic(
                *(_log_p(model, batch.ids, counted, early, barred).to(batch.ids.device) for model in models)
            )
        parts = np.split(values.double().cpu().numpy(), np.cumsum([spans[place].n for place in batch.places])[:-1])
        for place, part in zip(batch.places, parts, strict=True):
            found[place] = part
    return found


def _log_p(
    model: PreTrainedModel, ids: torch.Tensor, counted: torch.Tensor, early: torch.Tensor, barred: Barred
) -> torch.Tensor:
    """Log-probabilities of the next token at the positions counted, (n_counted, vocabulary); minus infinity for what is
    barred, at those of them that are ``early``."""
    run: Any = model
    logits = run(input_ids=ids.to(model.device), use_cache=False).logits[counted.to(model.device)].float()
    if barred.positions:
        bars = early[counted].to(model.device)[:, None] & barred.mask(logits)
        logits = logits.masked_fill(bars, float("-inf"))
    log_p: torch.Tensor = logits.log_softmax(-1)
    return log_p


def _entropy(log_p: torch.Tensor) -> torch.Tensor:
    return -(log_p.exp() * log_p).nan_to_num(0.0).sum(-1)


def _kl(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    return (log_p.exp() * (log_p - log_q)).nan_to_num(0.0).sum(-1)
