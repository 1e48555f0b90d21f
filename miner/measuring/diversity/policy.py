"""One side of a comparison: what it wrote, and what its policy says of itself while it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.records import Prompt
from miner.language_models import LanguageModel
from miner.language_models.reading import divergence, next_token_entropy, same_vocabulary
from miner.measuring.diversity.attractor import attractor_test
from miner.measuring.diversity.embedding import SentenceEmbedding
from miner.measuring.diversity.measurement import SetValue
from miner.measuring.diversity.modes import MODE_DISTANCE
from miner.measuring.diversity.persona import PersonaPrompts, attribute_spreads
from miner.measuring.diversity.report import Attractor, AttributeSpread
from miner.measuring.diversity.sampling import SamplePlan, sample_writings
from miner.measuring.diversity.writings import Writings
from miner.progress import Observer

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One side: a policy's folder, or texts. What is known of it already (a checkpoint of a training run) is given."""

    label: str
    policy: str | None = None
    writings: Writings | None = None
    sqrt_kl: float | None = None
    gold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``off_mode_tokens`` 0 leaves the attractor test out."""

    samples: int = 16
    max_new_tokens: int = 48
    temperature: float = 1.0
    mode_distance: float = MODE_DISTANCE
    off_mode_tokens: int = 5
    seed: int = 0
    device: str = "auto"

    def plan(self) -> SamplePlan:
        return SamplePlan(
            n=self.samples, max_new_tokens=self.max_new_tokens, temperature=self.temperature, seed=self.seed
        )


@dataclass(slots=True, kw_only=True)
class Reading:
    """What is known of one side before the sides are compared."""

    source: Source
    writings: Writings
    fingerprint: str | None = None
    chat_template: bool | None = None
    entropies: dict[str, Floats] = field(default_factory=dict)  # by prompt: the mean at each position, NaN where none
    overall: list[SetValue] = field(default_factory=list)
    attractor: Attractor | None = None
    persona: list[AttributeSpread] = field(default_factory=list)
    kl: dict[str, float] = field(default_factory=dict)
    gold: dict[str, float] = field(default_factory=dict)


def read_policy(
    source: Source,
    policy: LanguageModel,
    first: LanguageModel | None,
    prompts: Sequence[Prompt],
    embedding: SentenceEmbedding,
    settings: Settings,
    persona: PersonaPrompts | None,
    folder: Path,
    observer: Observer,
) -> Reading:
    """The samples of ``policy`` and all that is read off it alone; its KL from ``first`` where they share a vocabulary.

    Raises:
        ModelError, TooLongError: from the policy.
    """
    plan, label = settings.plan(), source.label
    with observer.stage(f"{label}: sampling") as advance:
        writings = sample_writings(policy, prompts, plan, label=label, folder=folder, progress=advance)
    found = Reading(
        source=source,
        writings=writings,
        fingerprint=policy.fingerprint,
        chat_template=bool(policy.tokenizer.chat_template),
    )
    with observer.stage(f"{label}: reading next-token distributions") as advance:
        for done, one in enumerate(writings.written, start=1):
            asked = (one.prompt, one.responses)
            rows = next_token_entropy(policy, *asked, max_new_tokens=settings.max_new_tokens)
            found.entropies[one.key] = _by_position(rows, settings.max_new_tokens)
            value = float(np.concatenate(rows).mean())
            found.overall.append(SetValue(name="entropy", scope="within", key=one.key, group=one.group, value=value))
            if first is not None and same_vocabulary(policy, first):
                kl = divergence(policy, first, *asked, max_new_tokens=settings.max_new_tokens)
                found.kl[one.key] = float(kl.mean())
            advance(done, len(writings.written))
    if settings.off_mode_tokens:
        with observer.stage(f"{label}: attractor test") as advance:
            found.attractor = attractor_test(
                policy,
                writings,
                embedding.embed,
                plan,
                off_mode_tokens=settings.off_mode_tokens,
                mode_distance=settings.mode_distance,
                progress=advance,
            )
    if persona is not None:
        with observer.stage(f"{label}: persona prompts") as advance:
            people = sample_writings(policy, persona.prompts, plan, label=label, folder=folder, progress=advance)
        found.persona = attribute_spreads(people, persona.attributes, seed=settings.seed)
    return found


def _by_position(rows: Sequence[Floats], length: int) -> Floats:
    """The mean over the rows that reach each position; NaN where none does."""
    table = np.full((len(rows), length), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    counts = (~np.isnan(table)).sum(0)
    return np.where(counts > 0, np.nansum(table, axis=0) / np.maximum(counts, 1), np.nan)
