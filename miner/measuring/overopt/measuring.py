"""What a policy writes at one step, measured: every signal of over-optimisation, one row per answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from corpus.records import Prompt, digest
from miner.errors import OutageError
from miner.judging.checks import Certifier, Subject
from miner.judging.criteria import Criteria
from miner.judging.gold import Answer, Gold
from miner.language_models import LanguageModel
from miner.language_models.hidden_states import read_texts
from miner.language_models.reading import diverge
from miner.language_models.sampling import Decoding, sample_ids
from miner.measuring.clean_cloud import CleanCloud
from miner.measuring.overopt.rows import NAN, SampleRow
from miner.rewards.base import Pair, Scorer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def rewards_or_nan(rm: Scorer, pairs: Sequence[Pair]) -> list[float]:
    """The rewards of an RM that is not optimised against: NaN where it gives no answer however often it is asked, since
    its outage must not end the run that it measures."""
    try:
        return [float(reward) for reward in rm.exact_rewards(pairs)]
    except OutageError:
        return [NAN] * len(pairs)


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What answers are measured with. Only the RM is indispensable."""

    rm: Scorer
    criteria: Criteria
    gold: Gold | None = None
    second: Scorer | None = None
    second_criteria: Criteria | None = None
    reference_lm: LanguageModel | None = None
    clean_space: CleanCloud | None = None
    certifier: Certifier | None = None

    def rows(
        self, step: int, prompts: Sequence[Prompt], responses: Sequence[str], moved: PolicyShift
    ) -> list[SampleRow]:
        """One row per answer."""
        n = len(prompts)
        pairs = [Pair(prompt.conversation, text) for prompt, text in zip(prompts, responses, strict=True)]
        proxy = [self.criteria.margin(float(reward)) for reward in self.rm.exact_rewards(pairs)]
        second = [NAN] * n
        if self.second is not None and self.second_criteria is not None:
            second = [self.second_criteria.margin(reward) for reward in rewards_or_nan(self.second, pairs)]
        surprise = latent = [NAN] * n
        if self.reference_lm is not None:
            reading = read_texts(self.reference_lm, responses)
            surprise = reading.surprise.tolist()
            latent = self.clean_space.scaled_distances(reading.hidden).tolist() if self.clean_space else latent
        nonsense = self.nonsense(prompts, responses)
        gold = self._gold(prompts, responses, nonsense)
        return [
            SampleRow(
                step=step,
                prompt_id=prompts[i].prompt_id,
                response=responses[i],
                proxy=proxy[i],
                gold=gold[i],
                second=second[i],
                kl=moved.kl[i],
                entropy=moved.entropy[i],
                length=float(len(responses[i].split())),
                repetition=repetition(responses[i]),
                surprise=surprise[i],
                latent=latent[i],
                nonsense=nonsense[i],
            )
            for i in range(n)
        ]

    def nonsense(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        """1.0 where the certifier convicts, 0.0 where it sees sense, NaN where it abstains or there is none."""
        if self.certifier is None:
            return [NAN] * len(prompts)
        subjects = [Subject(response=t, prompt=p.conversation) for p, t in zip(prompts, responses, strict=True)]
        found = {"nonsense": 1.0, "sensible": 0.0, "abstain": NAN}
        return [found[certificate.verdict] for certificate in self.certifier.certify(subjects)]

    def _gold(self, prompts: Sequence[Prompt], responses: Sequence[str], nonsense: Sequence[float]) -> list[float]:
        if self.gold is None:
            return [NAN] * len(prompts)
        answers = [
            Answer(
                prompt=p.conversation,
                response=t,
                reference=p.reference,
                nonsense=None if np.isnan(verdict) else verdict == 1.0,
            )
            for p, t, verdict in zip(prompts, responses, nonsense, strict=True)
        ]
        return [NAN if score is None else score for score in self.gold.scores(answers)]


@dataclass(frozen=True, kw_only=True)
class PolicyShift:
    """Of one answer each: nats from the reference policy, entropy per token."""

    kl: Sequence[float]
    entropy: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class HeldOutEvaluation:
    """The same held-out prompts, answered by the policy of any step and measured."""

    policy: LanguageModel  # the reference: tokenizer, template and the weights KL is counted from
    prompts: tuple[Prompt, ...]
    metrics: Metrics
    max_new_tokens: int
    min_new_tokens: int = 0
    samples: int = 1
    seed: int = 0

    def measure(self, model: PreTrainedModel, step: int) -> list[SampleRow]:
        """Rows of ``model``'s answers; the same for the same weights, seed and step, global generators untouched.

        Raises:
            BrokenPolicyError: its weights are not finite.
        """
        ids = [self.policy.prompt_ids(prompt.conversation) for prompt in self.prompts]
        generator = torch.Generator(device=model.device)
        generator.manual_seed(int(digest([self.seed, step])[:15], 16))
        drawn = decoding(self.policy, self.max_new_tokens, self.min_new_tokens)
        written = sample_ids(model, ids, drawn, per_prompt=self.samples, generator=generator)
        asked = [prompt for prompt in self.prompts for _ in range(self.samples)]
        texts = [self.policy.text(tokens) for tokens in written]
        repeated = [one for one in ids for _ in range(self.samples)]
        moved = diverge(model, self.policy.model, repeated, written, barred=drawn.barred)
        return self.metrics.rows(step, asked, texts, PolicyShift(kl=moved.kl.tolist(), entropy=moved.entropy.tolist()))


def decoding(policy: LanguageModel, max_new_tokens: int, min_new_tokens: int) -> Decoding:
    """Plain sampling with the policy's own end marks."""
    pad = policy.tokenizer.pad_token_id
    return Decoding(
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        end_tokens=policy.end_tokens,
        pad_token=policy.start_token if pad is None else int(pad),
    )


def repetition(text: str) -> float:
    """The share of neighbouring word pairs that came before in the same text; 0 under three words."""
    words = text.lower().split()
    pairs = list(pairwise(words))
    return 1 - len(set(pairs)) / len(pairs) if len(pairs) > 1 else 0.0
