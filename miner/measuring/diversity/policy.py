"""One side of a comparison: what it wrote, and what its policy says of itself while it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.records import Prompt
from miner.language_models import LanguageModel, load_language_model
from miner.language_models.reading import divergence, next_token_entropy, same_vocabulary
from miner.measuring.diversity.attractor import AttractorTest
from miner.measuring.diversity.embedding import SentenceEmbedding
from miner.measuring.diversity.measurement import SetValue
from miner.measuring.diversity.modes import MODE_DISTANCE
from miner.measuring.diversity.report import Attractor
from miner.measuring.diversity.response_sets import ResponseSets
from miner.measuring.diversity.sampling import SamplePlan, sample_response_sets
from miner.progress import Observer

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSource:
    """One side: a policy's folder, or texts. What is known of it already (a checkpoint of a training run) is given."""

    label: str
    policy: str | None = None
    response_sets: ResponseSets | None = None
    sqrt_kl: float | None = None
    gold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How policies are sampled and measured. ``off_mode_tokens`` 0 leaves the attractor test out."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatistics:
    """What is known of one side before the sides are compared."""

    source: MeasuredSource
    response_sets: ResponseSets
    fingerprint: str | None = None
    chat_template: bool | None = None
    entropies: dict[str, Floats] = field(default_factory=dict)  # by prompt: the mean at each position, NaN where none
    overall: list[SetValue] = field(default_factory=list)
    attractor: Attractor | None = None
    kl: dict[str, float] = field(default_factory=dict)
    gold: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PolicyReader:
    """Reads policies on the same ``prompts``; ``folder`` keeps their samples."""

    prompts: Sequence[Prompt]
    embedding: SentenceEmbedding
    settings: Settings
    folder: Path
    observer: Observer

    def read_all(self, sources: Sequence[MeasuredSource]) -> list[PolicyStatistics]:
        """One after the other; KL is from the first where that is a policy.

        Raises:
            ModelError, TooLongError: from the policies.
        """
        first: LanguageModel | None = None
        read: list[PolicyStatistics] = []
        for source in sources:
            if source.policy is None:
                assert source.response_sets is not None
                read.append(PolicyStatistics(source=source, response_sets=source.response_sets))
                continue
            with self.observer.stage(f"{source.label}: loading the policy"):
                policy = load_language_model(source.policy, device=self.settings.device)
            read.append(self.read(source, policy, first))
            first = first or (policy if len(read) == 1 else None)
        return read

    def read(
        self, source: MeasuredSource, policy: LanguageModel, first: LanguageModel | None = None
    ) -> PolicyStatistics:
        """Its samples and all that is read off it alone; its KL from ``first`` where they share a vocabulary.

        Raises:
            ModelError, TooLongError: from the policy.
        """
        with self.observer.stage(f"{source.label}: sampling") as advance:
            response_sets = sample_response_sets(
                policy, self.prompts, self.settings.plan(), label=source.label, folder=self.folder, progress=advance
            )
        n_tokens, entropies, overall, kls = self.settings.max_new_tokens, {}, [], {}
        other = first if first is not None and same_vocabulary(policy, first) else None
        with self.observer.stage(f"{source.label}: reading next-token distributions") as advance:
            for done, one in enumerate(response_sets.written, start=1):
                rows = next_token_entropy(policy, one.prompt, one.responses, max_new_tokens=n_tokens)
                entropies[one.key] = _by_position(rows, n_tokens)
                value = float(np.concatenate(rows).mean())
                overall.append(SetValue(name="entropy", scope="within", key=one.key, group=one.group, value=value))
                if other is not None:
                    kl = divergence(policy, other, one.prompt, one.responses, max_new_tokens=n_tokens)
                    kls[one.key] = float(kl.mean())
                advance(done, len(response_sets.written))
        return PolicyStatistics(
            source=source,
            response_sets=response_sets,
            fingerprint=policy.fingerprint,
            chat_template=bool(policy.tokenizer.chat_template),
            entropies=entropies,
            overall=overall,
            attractor=self._attractor(source.label, policy, response_sets),
            kl=kls,
        )

    def _attractor(self, label: str, policy: LanguageModel, response_sets: ResponseSets) -> Attractor | None:
        settings = self.settings
        if not settings.off_mode_tokens:
            return None
        test = AttractorTest(
            policy=policy,
            embed=self.embedding.embed,
            plan=settings.plan(),
            off_mode_tokens=settings.off_mode_tokens,
            mode_distance=settings.mode_distance,
        )
        with self.observer.stage(f"{label}: attractor test") as advance:
            return test.run(response_sets, advance)


def _by_position(rows: Sequence[Floats], length: int) -> Floats:
    """The mean over the rows that reach each position; NaN where none does."""
    table = np.full((len(rows), length), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    counts = (~np.isnan(table)).sum(0)
    return np.where(counts > 0, np.nansum(table, axis=0) / np.maximum(counts, 1), np.nan)
