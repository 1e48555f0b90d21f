from __future__ import annotations

from pathlib import Path

import pytest

from miner.config.campaign import AttackSection, CampaignConfig, parse_config, read_config
from miner.errors import ConfigError

MINIMAL = {"rm": {"source": "x"}, "data": {"source": "y"}, "out": "z"}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({**MINIMAL, "sead": 1}, "unknown key 'sead' (did you mean 'seed'?)"),
        ({**MINIMAL, "patch": {"step": 3}}, "unknown key 'patch.step' (did you mean 'steps'?)"),
        ({**MINIMAL, "attacks": [{"name": "gcg", "parms": {}}]}, "(did you mean 'params'?)"),
        ({**MINIMAL, "data": {}}, "give either source"),
        ({"data": {"source": "y"}, "out": "z"}, "rm.source is missing"),
        ({"rm": {"source": "x"}, "out": "z"}, "'data' is missing"),
        ({**MINIMAL, "mine": {"attacks": ["gcgg"]}}, "attack 'gcgg' has no [[attacks]] entry (did you mean 'gcg'?)"),
        ({**MINIMAL, "criteria": {"quantile": 1.5}}, "got 1.5"),
    ],
)
def test_a_bad_campaign_is_refused_on_one_line_that_names_the_way_out(raw: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, where="c.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("c.toml: ")
    assert "\n" not in str(caught.value)


def test_an_unknown_attack_or_parameter_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gcg'"):
        AttackSection(name="gcgg").build()
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        AttackSection(name="gcg", params={"widht": 3}).build()


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('out = "runs/x"\nseed = 1\n[rm]\nsource = "a"\n[data]\nsource = "b"\n[patch]\nsteps = 5\n')
    config = read_config(path, {"seed": 2, "patch.learning_rate": 1e-4})
    assert (config.seed, config.patch.steps, config.patch.learning_rate) == (2, 5, 1e-4)


def test_a_file_that_is_not_toml_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("out = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_config(tmp_path / "c.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        read_config(tmp_path / "none.toml")


def test_the_resolved_config_reads_back_as_itself(tmp_path: Path) -> None:
    import tomli_w

    config = parse_config({**MINIMAL, "attacks": [{"name": "gcg", "params": {"width": 9}}]}, where="t")
    path = tmp_path / "c.toml"
    path.write_text(tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))
    assert read_config(path) == config


def test_what_may_join_a_campaign_later_is_not_part_of_its_identity() -> None:
    one = CampaignConfig.model_validate(MINIMAL)
    later = {"out": "elsewhere", "in_flight": 2, "rounds": 3, "attacks": (AttackSection(name="corrupt"),)}
    assert one.fixed_digest() == one.model_copy(update=later).fixed_digest()
    assert one.fixed_digest() != one.model_copy(update={"seed": 5}).fixed_digest()


@pytest.mark.parametrize(
    ("key", "value", "is_fixed"), [("min_power", 0, False), ("max_alarms", 1, False), ("quorum", 2, True)]
)
def test_what_only_stops_a_run_may_be_set_later(key: str, value: float, is_fixed: bool) -> None:
    one, other = (parse_config({**MINIMAL, "checks": checks}, where="t") for checks in ({}, {key: value}))
    assert (one.fixed_digest() != other.fixed_digest()) == is_fixed


@pytest.mark.parametrize("carrier", ["I do not know.", "{} and {}"])
def test_a_carrier_that_does_not_say_where_the_trigger_goes_is_refused(carrier: str) -> None:
    with pytest.raises(ConfigError, match=r"'universal': carrier .* needs one \{\}"):
        AttackSection(name="universal", params={"carrier": carrier}).build()
