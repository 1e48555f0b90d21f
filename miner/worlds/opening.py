"""Opens the world that a campaign file describes: docs world, or a person's own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.records import Conversation, Prompt, Split, digest_of_each
from miner.config.campaign import CampaignConfig, LanguageModelSection
from miner.data import in_split
from miner.judging.checks import Subject
from miner.progress import Observer
from miner.worlds.world import CHECKED_SPLITS, GoodAnswers, World

if TYPE_CHECKING:
    from miner.data import PreferenceData, Prompts
    from miner.worlds.docs.harvest import DocEntry


def open_world(config: CampaignConfig, observer: Observer) -> World:
    """The world that a campaign file describes; docs world's models are trained where the cache lacks them.

    Raises:
        DataError, ConfigError: see ``miner.data.read_preferences`` and ``miner.worlds.docs.models``.
    """
    if config.data.world == "docs":
        from miner.worlds.docs.models import prepare

        return prepare(config, observer=observer)
    return _from_data(config, str(config.data.source), observer)


def read_prompts(config: CampaignConfig, observer: Observer) -> Prompts:
    """The prompts of ``data.source`` alone, no model loaded or trained. Errors as ``open_world``."""
    return read_data(config, observer).prompts


def read_references(config: CampaignConfig, observer: Observer) -> Mapping[Conversation, str]:
    """The good answer to each prompt of ``data.source`` that has one. Errors as ``open_world``."""
    return GoodAnswers(read_prompts(config, observer))


def docs_pairs(*splits: Split) -> list[tuple[Prompt, DocEntry]]:
    """Docs world's prompts of these splits, each with the object it asks about."""
    from miner.checkpoints.identity import cache_folder
    from miner.worlds.docs.world import DocsWorld

    docs = DocsWorld.load(cache_folder() / "docsworld")
    return [pair for split in splits for pair in zip(docs.prompts(split), docs.by_role[split], strict=True)]


def read_split(config: CampaignConfig, split: Split, observer: Observer) -> Sequence[Prompt]:
    """The prompts of one split, docs world's too, no model loaded or trained. Errors as ``open_world``."""
    if config.data.world == "docs":
        from miner.checkpoints.identity import cache_folder
        from miner.worlds.docs.world import DocsWorld

        return DocsWorld.load(cache_folder() / "docsworld").prompts(split)
    return read_prompts(config, observer).in_split(split)


def open_to_certify(config: CampaignConfig, observer: Observer) -> World:
    """The world as its checks need it: of docs world's models only the reference LM is trained where the cache lacks
    it. Errors as ``open_world``."""
    if config.data.world == "docs":
        from miner.worlds.docs.models import prepare_to_certify

        return prepare_to_certify(config, observer=observer)
    return open_world(config, observer)


def read_data(config: CampaignConfig, observer: Observer) -> PreferenceData:
    """``data.source``, read as its section says; the observer is told how, and what was left out.

    Raises:
        DataError, ConfigError: see ``miner.data.read_preferences``.
    """
    from miner.data import ColumnMapping, RowRules, SplitFractions, read_preferences

    data = config.data
    source = str(data.source)
    train, calibration, held_out = data.fractions
    read = read_preferences(
        Path(source) if Path(source).exists() else source,
        columns=ColumnMapping(**data.columns.model_dump()) if data.columns else None,
        hub_split=data.hub_split,
        limit=data.limit,
        split_fractions=SplitFractions(train=train, calibration=calibration, held_out=held_out),
        split_salt=data.split_salt,
        rules=RowRules(
            max_left_out=data.max_left_out,
            calls_as_text=data.tool_calls == "as_text",
            keep_json_text=data.json_text == "keep",
        ),
    )
    for line in read.report.notes():
        observer.note(line)
    return read


def _from_data(config: CampaignConfig, source: str, observer: Observer) -> World:
    with observer.stage("reading the data"):
        read = read_data(config, observer)
        data_hash = digest_of_each([p.prompt_id, p.reference, list(p.rejected)] for p in read.prompts)
    return World(
        name=Path(source).name,
        data_hash=data_hash,
        prompts=read.prompts,
        clean={split: clean_subjects(read.prompts, split) for split in CHECKED_SPLITS},
        rm=config.rm,
        policy=config.policy,
        reference_lm=_reference_lm(config, observer),
        shares={str(split): n for split, n in read.report.prompts_by_split.items()},
        data=read.report.facts(),
    )


def _reference_lm(config: CampaignConfig, observer: Observer) -> LanguageModelSection | None:
    if config.reference_lm is None:
        return None
    from miner.worlds.docs import models as studio

    return (
        studio.reference_lm(config, observer=observer)
        if config.reference_lm.source == studio.DOCS
        else config.reference_lm
    )


def clean_subjects(prompts: Sequence[Prompt], split: Split) -> tuple[Subject, ...]:
    """The references of a split as clean text. There is no second answer to set beside them, so none is."""
    held = in_split(prompts, split)
    return tuple(Subject(response=p.reference, prompt=p.conversation) for p in held if p.reference)
