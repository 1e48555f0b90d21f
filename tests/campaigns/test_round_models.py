"""The models of a campaign, opened again: what was measured once is not measured twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from corpus import Corpus
from miner.campaigns.attacking import criteria_hash, driver_of
from miner.campaigns.certifier import _setting_thresholds
from miner.campaigns.opening import OpenCampaign
from miner.campaigns.stages import take_clean_outcomes
from miner.checkpoints import precision
from miner.config.campaign import CampaignConfig
from miner.errors import ConfigError
from miner.reporting.summarise import summarise
from scripts.drills import samples
from tests.campaigns.configs import config_for
from tests.campaigns.observing import Notes

pytestmark = pytest.mark.ranges


def faster_in(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "gflops", lambda _device, asked, _purpose="": 100.0 if asked == dtype else 1.0)


@pytest.fixture
def automatic(tiny_rm_folder: Path, preference_file: Path, tmp_path: Path) -> CampaignConfig:
    """A campaign that says nothing of dtypes."""
    return config_for(tiny_rm_folder, preference_file, tmp_path, rm={"source": str(tiny_rm_folder), "device": "cpu"})


def test_a_resumed_run_keeps_its_bar_and_its_thresholds_and_scores_nothing_for_them(
    automatic: CampaignConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = OpenCampaign(automatic)
    criteria, certifier = first.models.criteria(0), first.models.certifier
    identity = criteria_hash(driver_of(first, 0), ascii_only=False)

    def never(*_: object, **__: object) -> Any:
        raise AssertionError("measured again")

    monkeypatch.setattr("miner.campaigns.round_models.criteria_of", never)
    monkeypatch.setattr("miner.campaigns.certifier.calibrate", _raising("miner.judging.checks.calibration"))
    again = OpenCampaign(automatic)
    assert again.models.criteria(0) == criteria
    assert again.models.certifier.identity == certifier.identity
    assert [one.threshold for one in again.models.certifier.checks] == [one.threshold for one in certifier.checks]
    assert criteria_hash(driver_of(again, 0), ascii_only=False) == identity


def test_thresholds_are_set_by_what_people_called_sensible_elsewhere_too(
    automatic: CampaignConfig, tmp_path: Path
) -> None:
    reviewed, text = tmp_path / "reviewed", "value return the value of value if"
    corpus = Corpus(reviewed / "corpus")
    corpus.append(
        samples.finding(0, finding_id="f0", response=text), samples.review(0, item_id="f0", verdict="sensible")
    )
    learning = automatic.model_copy(update={"checks": automatic.checks.model_copy(update={"reviewed": str(reviewed)})})
    learning = learning.model_copy(update={"out": str(tmp_path / "learning")})
    models = OpenCampaign(learning).models
    seen = _setting_thresholds(models.config, models.world, models.run)
    assert [one.response for one in seen] == [*(one.response for one in models.world.clean["calibration"]), text]
    shutil.rmtree(reviewed)
    assert [*_setting_thresholds(models.config, models.world, models.run)] == [*seen]
    with pytest.raises(ConfigError, match="no corpus in"):
        _setting_thresholds(models.config, models.world, None)
    plain, taught = (OpenCampaign(config).models.certifier for config in (automatic, learning))
    assert plain.identity != taught.identity


def _raising(module: str) -> Any:
    def calibrate(*_: object, **__: object) -> Any:
        raise AssertionError("calibrated again")

    calibrate.__module__ = module  # thresholds are kept by the code that makes them
    return calibrate


def test_another_quantile_or_rate_of_false_alarms_is_measured_anew(automatic: CampaignConfig) -> None:
    one = OpenCampaign(automatic).models
    changes = {"criteria": {"quantile": 0.5}, "checks": {"names": ("repetition",), "false_alarm": 0.3}}
    other = OpenCampaign(CampaignConfig.model_validate({**automatic.model_dump(), **changes})).models
    assert other.criteria(0).threshold < one.criteria(0).threshold
    assert len(other.certifier.checks) < len(one.certifier.checks)


def test_the_dtype_that_ranked_when_the_run_began_ranks_when_it_goes_on(
    automatic: CampaignConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    faster_in(torch.bfloat16, monkeypatch)
    first = OpenCampaign(automatic)
    assert first.models.rm(0).ranking_dtype == "bfloat16"
    identity = criteria_hash(driver_of(first, 0), ascii_only=False)
    faster_in(torch.float32, monkeypatch)
    again = OpenCampaign(automatic)
    assert again.models.rm(0).ranking_dtype == "bfloat16"
    assert criteria_hash(driver_of(again, 0), ascii_only=False) == identity
    assert summarise(again, command="test").rm["ranking_dtype_is"] == "the fastest when the run began, kept"


def test_a_dtype_asked_for_wins_over_the_one_kept(automatic: CampaignConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    faster_in(torch.bfloat16, monkeypatch)
    OpenCampaign(automatic)
    asked = automatic.model_copy(update={"rm": automatic.rm.model_copy(update={"dtype": "float32"})})
    campaign = OpenCampaign(asked)
    assert campaign.models.rm(0).ranking_dtype == "float32"
    assert summarise(campaign, command="test").rm["ranking_dtype_is"] == "as asked for"


def test_one_rm_is_held_and_kept_while_another_is_not_there(automatic: CampaignConfig) -> None:
    models = OpenCampaign(automatic).models
    held = models.rm(0)
    assert models.rm(0) is held
    with pytest.raises(ConfigError, match="no patched RM of round 1"):
        models.rm(1)
    assert models.held == (0, held)
    assert models.open_rm(models.source(0)) is not held


def test_clean_accuracy_is_taken_again_where_other_pairs_are_asked_for(automatic: CampaignConfig) -> None:
    whole = take_clean_outcomes(OpenCampaign(automatic), 0)
    fewer = automatic.model_copy(update={"evaluate": automatic.evaluate.model_copy(update={"rejected_per_prompt": 1})})
    campaign = OpenCampaign(fewer)
    part = take_clean_outcomes(campaign, 0)
    assert whole is not None
    assert part is not None
    assert (whole.rejected_per_prompt, part.rejected_per_prompt) == (None, 1)
    assert campaign.run.clean_outcomes(0) == part


def test_clean_answers_that_the_rm_cannot_read_are_told_with_the_reason_also_where_the_bar_was_stored(
    automatic: CampaignConfig,
) -> None:
    short = automatic.model_copy(update={"rm": automatic.rm.model_copy(update={"max_length": 40})})
    for _ in range(2):
        notes = Notes()
        criteria = OpenCampaign(short, notes).models.criteria(0)
        (said,) = (note for note in notes.notes if "set no bar" in note)
        assert criteria.left_out > 0
        assert said.startswith(f"{criteria.left_out} clean references set no bar for ")
        assert said.endswith(
            f": {criteria.left_out} too long for it. Give shorter texts, or cut them: --set rm.truncation=left|right"
        )
