"""Rejection-sampling fine-tuning: a policy trained on its own best-of-n picks under an RM, round after round.

The simplest optimisation against an RM there is (Dong et al. 2023, arXiv:2304.06767). No KL term holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch

from corpus.records import Prompt
from miner.language_models import LanguageModel, load_language_model
from miner.measuring.diversity.sampling import seed_of
from miner.rewards.base import Pair, RewardModel

BATCH = 32
LEARNING_RATE = 1e-3


def rejection_rounds(
    policy: str, rm: RewardModel, prompts: Sequence[Prompt], *, n: int, rounds: int, steps: int, max_new_tokens: int,
    seed: int, out: Path, say: Callable[[str], None],
) -> list[Path]:  # fmt: skip
    """The folders of the policy after each round, the first of them trained from ``policy``; those there are kept."""
    folders = []
    for number in range(1, rounds + 1):
        target = out / f"round-{number}"
        if not (target / "model.safetensors").exists():
            lm = load_language_model(policy, device="cpu")
            picks = [_pick(lm, rm, prompt, n, max_new_tokens, seed + number) for prompt in prompts]
            _fine_tune(lm, list(zip(prompts, picks, strict=True)), steps=steps, seed=seed + number, out=target)
            say(f"round {number}: {len(picks)} picks, {len(set(picks))} different")
        folders.append(target)
        policy = str(target)
    return folders


def _pick(lm: LanguageModel, rm: RewardModel, prompt: Prompt, n: int, max_new_tokens: int, seed: int) -> str:
    samples = lm.sample(
        prompt.conversation, n, seed=seed_of(seed, prompt.prompt_id), max_new_tokens=max_new_tokens
    ).continuations
    rewards = rm.rewards([Pair(prompt.conversation, one.text) for one in samples])
    return samples[int(np.argmax(rewards))].text


def _fine_tune(lm: LanguageModel, pairs: Sequence[tuple[Prompt, str]], *, steps: int, seed: int, out: Path) -> None:
    """Cross-entropy of the picks and their end, prompts not counted, saved under ``out``."""
    rows = [(lm.prompt_ids(p.conversation), [*lm.response_ids([pick])[0], *lm.end_tokens[:1]]) for p, pick in pairs]
    model = lm.model.requires_grad_(True).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    rng = Random(seed)
    for step in range(steps):
        batch = rng.sample(rows, min(BATCH, len(rows)))
        longest = max(len(head) + len(tail) for head, tail in batch)
        ids = torch.full((len(batch), longest), lm.start_token)
        labels = torch.full((len(batch), longest), -100)
        for i, (head, tail) in enumerate(batch):
            ids[i, : len(head) + len(tail)] = torch.tensor([*head, *tail])
            labels[i, len(head) : len(head) + len(tail)] = torch.tensor(tail)
        logits = model(input_ids=ids).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100
        )
        optimiser.zero_grad()
        loss.backward()
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        optimiser.step()
    model.requires_grad_(False).train(False)
    model.save_pretrained(out)
    lm.tokenizer.save_pretrained(out)
