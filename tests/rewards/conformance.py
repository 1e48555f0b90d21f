"""What every reward model adapter must do: the reward of a text is what plain transformers gives, however it is asked.

``plain_rewards`` shares no code with the adapter: one text at a time through ``AutoTokenizer`` and
``AutoModelForSequenceClassification``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from miner.checkpoints.batching import TokenBudget
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair
from miner.rewards.compute.forward import Forward

TOLERANCE = 1e-4
MIN_SPREAD = 1.0
NO_TEMPLATE = {"user": "Human", "assistant": "Assistant"}

Rewards = npt.NDArray[np.float64]


def inputs_of(tokenizer: PreTrainedTokenizerBase, pair: Pair, **truncation: Any) -> Any:
    """A pair as a model card would have it tokenised: the chat template, or two texts for an encoder."""
    turns = [{"role": turn.role, "content": turn.content} for turn in pair.prompt]
    answered = [*turns, {"role": "assistant", "content": pair.response}]
    if tokenizer.chat_template:
        return tokenizer.apply_chat_template(
            answered, tokenize=True, return_dict=True, return_tensors="pt", **truncation
        )
    if tokenizer.sep_token is None:
        text = "\n\n".join(f"{NO_TEMPLATE[turn['role']]}: {turn['content']}" for turn in answered)
        return tokenizer(text, return_tensors="pt", **truncation)
    one = turns[0]["content"] if len(turns) == 1 else "\n".join(f"{t['role']}: {t['content']}" for t in turns)
    return tokenizer(one, pair.response, return_tensors="pt", **truncation)


def plain_rewards(folder: Path, pairs: Sequence[Pair], **truncation: Any) -> Rewards:
    """Rewards by plain transformers in fp32, a batch of one each."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return np.array([float(model(**inputs_of(tokenizer, pair, **truncation)).logits[0, 0]) for pair in pairs])


def violations(rm: TransformerRewardModel, pairs: Sequence[Pair], expected: Rewards) -> list[str]:
    """What of the contract ``rm`` breaks on ``pairs``, whose rewards by plain transformers are ``expected``."""
    found = []
    if np.ptp(expected) < MIN_SPREAD:
        found.append(f"the texts' rewards spread over {np.ptp(expected):.2g}: faults below {TOLERANCE} would not show")
    for way, ask in ways(rm).items():
        gap = float(np.abs(ask(pairs) - expected).max())
        if not gap <= TOLERANCE:  # NaN is a violation, too
            found.append(f"{way}: off by {gap:.2g}")
    return found


def ways(rm: TransformerRewardModel) -> dict[str, Callable[[Sequence[Pair]], Rewards]]:
    """Every way to ask for the rewards of some pairs."""
    asked: dict[str, Callable[[Sequence[Pair]], Rewards]] = {
        "alone": lambda pairs: np.array([rm.reward(pair) for pair in pairs]),
        "batch": rm.rewards,
        "exact batch": rm.exact_rewards,
        "reversed batch": lambda pairs: rm.rewards(pairs[::-1])[::-1],
        "small batches": replace(rm, budget=TokenBudget(200)).rewards,
    }
    return asked | {way: _ranked(forward) for way, forward in rm.other_ways().items()}


def _ranked(forward: Forward) -> Callable[[Sequence[Pair]], Rewards]:
    return lambda pairs: np.array([one.reward for one in forward.ranked(pairs)])
