"""What a policy thinks while a response is read: the next-token distribution at every position of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from corpus.records import Conversation
from miner.errors import ModelError, TooLongError
from miner.language_models.model import LOGITS_PER_BATCH, LanguageModel

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Row:
    """Token ids of a prompt with a response; ``n`` next-token distributions count, the first at the prompt's end."""

    place: int
    ids: list[int]
    n: int


def next_token_entropy(
    policy: LanguageModel, prompt: Conversation, responses: Sequence[str], *, max_new_tokens: int
) -> list[Floats]:
    """Per response the entropy in nats of the next token before each of its tokens, and before its end.

    Of the whole distribution, temperature 1. A response of ``max_new_tokens`` or more was cut: its end is no choice of
    the policy's and does not count.

    Raises:
        TooLongError: prompt and response together exceed the maximum length.
    """
    found: dict[int, Floats] = {}
    for rows, log_p in _read(policy, prompt, responses, max_new_tokens):
        entropy = -(log_p.exp() * log_p).nan_to_num(0.0).sum(-1)
        found |= _cut(rows, entropy)
    return [found[i] for i in range(len(responses))]


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
    found: dict[int, Floats] = {}
    ours = _read(policy, prompt, responses, max_new_tokens)
    theirs = _read(other, prompt, responses, max_new_tokens)
    for (rows, log_p), (_, log_q) in zip(ours, theirs, strict=True):
        kl = (log_p.exp() * (log_p - log_q.to(log_p.device))).nan_to_num(0.0).sum(-1)
        found |= _cut(rows, kl)
    return np.array([found[i].sum() for i in range(len(responses))])


def same_vocabulary(policy: LanguageModel, other: LanguageModel) -> bool:
    """Whether the two read the same token ids the same way."""
    return (
        policy.tokenizer.get_vocab() == other.tokenizer.get_vocab()
        and policy.model.config.vocab_size == other.model.config.vocab_size
        and policy.tokenizer.chat_template == other.tokenizer.chat_template
    )


def _read(
    policy: LanguageModel, prompt: Conversation, responses: Sequence[str], max_new_tokens: int
) -> Iterator[tuple[list[_Row], torch.Tensor]]:
    """Batches of rows with log-probabilities of the token after each position: (n_rows, n_positions, vocabulary)."""
    head = policy.prompt_ids(prompt)
    rows = []
    for place, written in enumerate(policy.response_ids(responses)):
        n = min(len(written) + 1, max_new_tokens)
        ids = [*head, *written[: n - 1]]
        if len(ids) > policy.max_length:
            raise TooLongError(f"prompt and response of {len(ids)} tokens exceed the {policy.max_length} that "
                               f"{policy.name} reads. Lower max_new_tokens")  # fmt: skip
        rows.append(_Row(place, ids, n))
    device = policy.model.device
    at_once = max(1, LOGITS_PER_BATCH[device.type] // (policy.model.config.vocab_size * max_new_tokens))
    for start in range(0, len(rows), at_once):
        batch = rows[start : start + at_once]
        longest = max(len(row.ids) for row in batch)
        padded = [[*row.ids, *[policy.start_token] * (longest - len(row.ids))] for row in batch]
        with torch.inference_mode():
            logits = policy.model(input_ids=torch.tensor(padded, device=device)).logits  # right padding is inert
            read = logits[:, len(head) - 1 :].float().log_softmax(-1)
        yield batch, read  # outside: a generator that is left in the mode would leave its caller in it


def _cut(rows: Sequence[_Row], values: torch.Tensor) -> dict[int, Floats]:
    table = values.double().cpu().numpy()
    return {row.place: table[i, : row.n] for i, row in enumerate(rows)}
