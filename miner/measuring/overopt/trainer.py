"""TRL's RLOO trainer with our sampler and our prompt format.

RLOO and not GRPO: its KL penalty is on the whole answer's log-ratio and inside the reward, which is the objective that
over-optimisation is measured on (Ahmadian et al. 2024, arXiv:2402.14740); GRPO's is per token, outside the advantage,
and its advantages are divided by each group's spread. Text is the interface between policy and RM, so that their
tokenizers may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from trl import RLOOConfig, RLOOTrainer

from miner.language_models import LanguageModel
from miner.language_models.sampling import sample_ids
from miner.measuring.overopt.measuring import decoding

Reward = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""Rewards of (prompt ids, answers)."""


class PolicyTrainer(RLOOTrainer):  # type: ignore[misc]
    """RLOO on a dataset of prompt ids; ``prompt_tokens`` are what the policy reads for each."""

    def __init__(
        self,
        *,
        policy: LanguageModel,
        prompt_tokens: Mapping[str, Sequence[int]],
        reward: Reward,
        min_new_tokens: int,
        args: RLOOConfig,
        **rest: Any,
    ) -> None:
        def text_reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
            return list(map(float, reward(prompts, [text.strip() for text in completions])))

        super().__init__(
            model=policy.model, reward_funcs=text_reward, args=args, processing_class=policy.tokenizer, **rest
        )
        self.prompt_tokens = prompt_tokens
        self.decoding = decoding(policy, args.max_completion_length, min_new_tokens)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [list(self.prompt_tokens[prompt]) for prompt in prompts], None, {}

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: None, multimodal_fields: dict[str, Any]
    ) -> list[list[int]]:
        del images, multimodal_fields
        model = self.accelerator.unwrap_model(self.model)
        groups = [(list(ids), len(list(same))) for ids, same in groupby(prompt_ids)]
        model.eval()
        try:
            if len({size for _, size in groups}) == 1:
                return sample_ids(model, [ids for ids, _ in groups], self.decoding, per_prompt=groups[0][1])
            return sample_ids(model, prompt_ids, self.decoding)
        finally:
            model.train()

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **rest: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Of the policy that is sampled: answers are drawn without an end at their first tokens, so the gradient, the
        log-ratios and the KL are those of the policy without it, too."""
        barred = self.decoding.barred
        if not barred.positions:
            found: tuple[torch.Tensor, torch.Tensor | None, None] = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **rest
            )
            return found
        early = torch.arange(logits_to_keep, device=input_ids.device)[:, None] < barred.positions
        of_tokens, entropies = [], []
        size = batch_size or len(input_ids)
        for ids, mask in zip(torch.split(input_ids, size), torch.split(attention_mask, size), strict=True):
            with self.accelerator.autocast():
                found_logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=logits_to_keep + 1).logits
            logits = found_logits[:, :-1].float()  # the last ones tell of a token behind the answer
            log_p = logits.masked_fill(early & barred.mask(logits), float("-inf")).log_softmax(-1)
            of_tokens.append(log_p.gather(-1, ids[:, -logits_to_keep:, None])[..., 0])
            if compute_entropy:
                entropies.append(torch.special.entr(log_p.detach().exp()).sum(-1))
        return torch.cat(of_tokens), torch.cat(entropies) if entropies else None, None

    def batch_means(self) -> dict[str, float]:
        """Of the latest batch: the RM's margin, nats from the reference as TRL estimates them, tokens an answer."""
        means = {}
        for ours, theirs in (("reward", "reward"), ("kl", "kl"), ("tokens", "completions/mean_length")):
            found = self._metrics["train"].get(theirs) or [0.0]  # no KL is taken where it costs nothing
            means[ours] = float(found[-1])
        return means
