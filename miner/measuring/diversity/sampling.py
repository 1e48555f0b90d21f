"""Samples of a policy on many prompts, kept in the run's folder: the same command again reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus.records import Conversation, Prompt, digest
from miner.errors import ConfigError
from miner.files import read_rows, replace_text
from miner.language_models import LanguageModel
from miner.measuring.diversity.response_sets import PromptResponses, ResponseSets
from miner.progress import Advance

SAMPLES_FOLDER = "samples"
CODE_VERSION = 1  # raise it when the same request would be sampled otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePlan:
    """``n`` samples a prompt of at most ``max_new_tokens``, at this temperature, unfiltered."""

    n: int
    max_new_tokens: int = 48
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.n >= 1 and self.max_new_tokens >= 1 and self.temperature > 0):
            raise ConfigError(f"cannot sample {self.n} texts of {self.max_new_tokens} tokens at temperature "
                              f"{self.temperature:g}: all three must be above zero")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSamples:
    """``prompt`` is for people, who score the responses."""

    prompt_id: str
    responses: tuple[str, ...]
    prompt: Conversation = ()


def sample_response_sets(
    policy: LanguageModel, prompts: Sequence[Prompt], plan: SamplePlan, *, label: str, folder: Path, progress: Advance
) -> ResponseSets:
    """What ``policy`` writes for every prompt, from ``folder/samples`` where it is stored already.

    Every prompt has a seed of its own, from the plan's and itself, so that two policies differ by nothing else.

    Raises:
        TooLongError, ModelError: see ``LanguageModel.sample``.
    """
    asked = [prompt.prompt_id for prompt in prompts]
    request = [CODE_VERSION, policy.fingerprint, policy.dtype, asked, plan.n, plan.max_new_tokens, plan.temperature]
    path = folder / SAMPLES_FOLDER / f"{digest([*request, plan.seed])}.jsonl"
    if not path.exists():
        rows = []
        for done, prompt in enumerate(prompts, start=1):
            samples = policy.sample(
                prompt.conversation,
                plan.n,
                seed=seed_of(plan.seed, prompt.prompt_id),
                max_new_tokens=plan.max_new_tokens,
                temperature=plan.temperature,
            )
            texts = tuple(one.text for one in samples.continuations)
            stored = StoredSamples(prompt_id=prompt.prompt_id, responses=texts, prompt=prompt.conversation)
            rows.append(json.dumps(asdict(stored)))
            progress(done, len(prompts))
        replace_text(path, "\n".join(rows) + "\n")
    responses = {row.prompt_id: row.responses for row in _read(path)}
    return ResponseSets(
        label=label,
        written=tuple(
            PromptResponses(
                key=prompt.prompt_id,
                group=prompt.group_key or prompt.prompt_id,
                responses=responses[prompt.prompt_id],
                prompt=prompt.conversation,
                reference=prompt.reference,
            )
            for prompt in prompts
        ),
    )


def stored_samples(folder: Path) -> list[StoredSamples]:
    """All that a measurement's folder keeps; none where it sampled nothing.

    Raises:
        DataError: they cannot be read.
    """
    return [row for path in sorted((folder / SAMPLES_FOLDER).glob("*.jsonl")) for row in _read(path)]


def _read(path: Path) -> list[StoredSamples]:
    return list(read_rows(path, StoredSamples, "prompt_id and responses"))


def seed_of(seed: int, *names: str) -> int:
    """A seed of 31 bits for one thing among many."""
    return int(digest([seed, *names])[:8], 16) >> 1
