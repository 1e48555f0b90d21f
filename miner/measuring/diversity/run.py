"""The whole of `rmminer diversity`: which policies and texts are compared, opened and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus.records import Prompt
from miner.config.campaign import CampaignConfig
from miner.measuring.diversity.checkpoints import evenly
from miner.measuring.diversity.embedding import load_embedding
from miner.measuring.diversity.measure import measure_diversity
from miner.measuring.diversity.policy import MeasuredSource, Settings
from miner.measuring.diversity.report import DiversityReport
from miner.measuring.measurement_inputs import (
    checkpoint_sources,
    docs_policy,
    embedding_folder,
    gold_of,
    n_checkpoints,
    prompts_of,
)
from miner.progress import Observer


@dataclass(frozen=True, kw_only=True)
class DiversityRequest:
    """``policies`` are folders, hub ids or "docs", with the one that the others are compared with first; ``texts`` come
    after them. ``checkpoints`` is a run's folder of overopt, whose policies come before all others, or a JSONL file,
    whose policies come last; at most ``at_most`` of its policies are measured.

    Policies are asked ``prompts`` held-out prompts of the data of ``config``. ``folder`` keeps samples and the report.
    """

    config: CampaignConfig
    settings: Settings
    folder: Path
    policies: tuple[str, ...] = ()
    texts: tuple[MeasuredSource, ...] = ()
    checkpoints: Path | None = None
    at_most: int | None = None
    embedding: str | None = None
    gold_rm: str | None = None
    prompts: int = 64

    @property
    def named(self) -> tuple[str, ...]:
        """The policies; docs world's own where nothing at all was named."""
        nothing = not self.policies and not self.texts and self.checkpoints is None
        return ("docs",) if nothing and self.config.data.world == "docs" else self.policies

    @property
    def n_policies(self) -> int:
        n = 0 if self.checkpoints is None else n_checkpoints(self.checkpoints)
        return len(self.named) + min(n, self.at_most or n)

    def asked(self, observer: Observer) -> tuple[Prompt, ...]:
        """The prompts; none where only texts are compared."""
        return prompts_of(self.config, self.prompts, observer=observer) if self.n_policies else ()


def run_diversity(request: DiversityRequest, *, observer: Observer, command: str) -> DiversityReport:
    """The report, written to the request's folder.

    Raises:
        ConfigError, DataError, ModelError, TooLongError: from what was asked for, the data and the models.
    """
    settings = request.settings
    settings.plan()  # refuse what cannot be sampled before anything is loaded
    encoder = embedding_folder(request.embedding)
    asked = request.asked(observer)
    sources = _sources(request, observer)
    with observer.stage("loading the sentence embedding"):
        embedding = load_embedding(encoder.folder, device=settings.device, name=encoder.name)
    report = measure_diversity(
        _labelled(sources),
        asked,
        embedding=embedding,
        settings=settings,
        gold=gold_of(request.gold_rm, asked, request.config, observer),
        folder=request.folder,
        observer=observer,
        command=command,
    )
    report.write(request.folder)
    return report


def _sources(request: DiversityRequest, observer: Observer) -> list[MeasuredSource]:
    config, settings, place = request.config, request.settings, request.checkpoints
    named = [
        MeasuredSource(label="docs policy", policy=docs_policy(config, observer))
        if one == "docs"
        else MeasuredSource(label=Path(one).name, policy=one)
        for one in request.named
    ]
    if place is None:
        return [*named, *request.texts]
    along = evenly(
        checkpoint_sources(place, config, observer, samples=settings.samples, seed=settings.seed), request.at_most
    )
    return [*along, *named, *request.texts] if place.is_dir() else [*named, *request.texts, *along]


def _labelled(sources: Sequence[MeasuredSource]) -> list[MeasuredSource]:
    """No two of the same name: later ones are numbered."""
    seen: dict[str, int] = {}
    found = []
    for one in sources:
        seen[one.label] = seen.get(one.label, 0) + 1
        found.append(one if seen[one.label] == 1 else replace(one, label=f"{one.label} ({seen[one.label]})"))
    return found
