"""Opens reward models that measure and are not optimised against (gold, a second opinion), by the name in an option."""

from __future__ import annotations

import os

from miner.config.campaign import CampaignConfig, parse_config
from miner.config.reward_model import rm_table_of
from miner.errors import ConfigError
from miner.judging.criteria import criteria_for_scorer
from miner.judging.ensemble import Ensemble
from miner.progress import Observer
from miner.rewards.base import Scorer
from miner.rewards.opening import open_reward_model
from miner.worlds.opening import read_references, read_split

DOCS, NONE = "docs", "none"


def open_scorer(named: str, config: CampaignConfig, observer: Observer) -> Scorer | None:
    """The RM or, of several by commas, the mean of RMs; None for "none".

    Each is a folder, a hub id, an address, a campaign file (which says how an RM of any kind is asked), or "docs", docs
    world's independent RM. Where the RM of ``config`` cuts what is too long, so does a classifier that says nothing of
    it.

    Raises:
        ConfigError: nothing is named, a campaign file without an RM, or too few good answers for a mean.
        ModelError, RemoteError: it cannot be loaded or asked.
    """
    if named == NONE:
        return None
    found: list[Scorer] = []
    for source in filter(None, (os.path.expanduser(one.strip()) for one in named.split(","))):
        if source == DOCS:
            from miner.worlds.docs.models import second_rm

            found.append(second_rm(config, observer=observer))
        else:
            with observer.stage(f"loading {source}, hashing its weights"):
                found.append(_opened(source, config, observer))
    if not found:
        raise ConfigError(f"{named!r} names no RM; expected a folder, hub id, address or campaign file, or 'none'")
    if len(found) == 1:
        return found[0]
    members = []
    with observer.stage("rewards of clean answers by every RM of the mean") as advance:
        calibration = read_split(config, "calibration", observer)
        for rm in found:
            members.append((rm, criteria_for_scorer(rm, calibration, config.criteria.quantile)))
            advance(len(members), len(found))
    return Ensemble(members=tuple(members))


def _opened(source: str, config: CampaignConfig, observer: Observer) -> Scorer:
    given = parse_config(
        {"out": ".", "data": {"world": DOCS}, "rm": {"device": config.rm.device, **rm_table_of(source)}}, where=source
    )
    section = given.rm
    if section.kind == "classifier" and "truncation" not in section.model_fields_set:
        section = section.model_copy(update={"truncation": config.rm.truncation})
    references = read_references(config, observer) if config.data.world is None else {}
    return open_reward_model(section, references)
