"""Kinds of models are a registry: other packages add to it, with keys of their own in the campaign file."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from miner.config.campaign import CampaignConfig, PolicySection, parse_config
from miner.config.kinds import BUILT_IN, POLICIES, REWARD_MODELS, Kind, kind_called
from miner.config.reward_model import RewardModelSection
from miner.errors import ConfigError


class ScoringSection(RewardModelSection):
    """A kind's own keys beside those of every RM."""

    scale: float = 1.0


class TemplatePolicySection(PolicySection):
    phrases: tuple[str, ...]


SCORING = Kind(opener="math:sqrt", section=ScoringSection)
PHRASES = Kind(opener="math:sqrt", section=TemplatePolicySection)
LATER = Kind(opener="no_such_module:open")
ALIEN = Kind(opener="math:sqrt", section=CampaignConfig)


@pytest.fixture(autouse=True)
def _theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    here = __name__
    entries = EntryPoints(
        [
            EntryPoint("scoring", f"{here}:SCORING", REWARD_MODELS),
            EntryPoint("later", f"{here}:LATER", REWARD_MODELS),
            EntryPoint("alien", f"{here}:ALIEN", REWARD_MODELS),
            EntryPoint("broken", "no_such_package:KIND", REWARD_MODELS),
            EntryPoint("remote", f"{here}:SCORING", REWARD_MODELS),
            EntryPoint("phrases", f"{here}:PHRASES", POLICIES),
        ]
    )
    monkeypatch.setattr("miner.config.kinds.entry_points", lambda group: entries.select(group=group))


def config(**raw: Any) -> CampaignConfig:
    return parse_config({"out": ".", "data": {"world": "docs"}, **raw}, where="here")


def test_a_kind_of_another_package_has_keys_of_its_own() -> None:
    section = config(rm={"source": "x", "kind": "scoring", "scale": 2, "template": "its own business"}).rm
    assert isinstance(section, ScoringSection)
    assert (section.scale, section.template) == (2.0, "its own business")


def test_what_is_written_to_the_campaigns_folder_reads_back() -> None:
    one = config(
        rm={"source": "x", "kind": "scoring", "scale": 2},
        policy={"source": "p", "kind": "phrases", "phrases": ["a", "b"]},
    )
    assert config(**one.model_dump(mode="json", exclude_none=True, exclude={"out", "data"})) == one


def test_a_key_of_no_kind_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'rm\.scael'"):
        config(rm={"source": "x", "kind": "scoring", "scael": 2})
    with pytest.raises(ConfigError, match=r"unknown key 'rm\.scale'"):
        config(rm={"source": "x", "scale": 2})
    with pytest.raises(ConfigError, match=r"'policy\.phrases' is missing"):
        config(policy={"source": "p", "kind": "phrases"})


def test_an_unknown_kind_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"no kind 'scorings'.*did you mean 'scoring'"):
        config(rm={"source": "x", "kind": "scorings"})
    with pytest.raises(ConfigError, match=r"no kind 'casual'.*did you mean 'causal'"):
        config(policy={"source": "x", "kind": "casual"})


def test_ours_cannot_be_replaced() -> None:
    assert kind_called("remote", REWARD_MODELS) is BUILT_IN[REWARD_MODELS]["remote"]


def test_a_package_that_cannot_be_imported_is_in_the_way_of_no_other() -> None:
    assert config(rm={"source": "x"}).rm.kind == "classifier"
    assert config(rm={"source": "x", "kind": "scoring"}).rm.kind == "scoring"


def test_tables_of_our_kinds_are_none_of_theirs() -> None:
    with pytest.raises(ConfigError, match="belongs to kind 'judge'"):
        config(rm={"source": "x", "kind": "scoring", "judge": {"template": "{prompt} {response}"}})


def test_a_section_that_is_not_built_on_ours_is_refused() -> None:
    with pytest.raises(ConfigError, match="no subclass of RewardModelSection"):
        config(rm={"source": "x", "kind": "alien"})


def test_an_opener_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(ConfigError, match="no_such_module"):
        kind_called("later", REWARD_MODELS).load()


@pytest.mark.parametrize("group", [REWARD_MODELS, POLICIES])
def test_every_opener_of_ours_is_there(group: str) -> None:
    assert all(callable(kind.load()) for kind in BUILT_IN[group].values())
