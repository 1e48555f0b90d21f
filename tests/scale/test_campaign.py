"""A whole campaign in a store: what a machine of its own, with nothing but the URL, reads and goes on with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from corpus import working_copy
from corpus.records import Attempt
from corpus.working_copy import located
from miner.campaigns.campaign import Campaign
from miner.campaigns.run_folder import RunFolder
from miner.campaigns.stage_starts import StageInput
from miner.config.campaign import CampaignConfig
from miner.errors import ResumeError
from miner.searching.shards import Shard
from tests.campaigns.configs import config_for
from tests.scale.machines import Machine

URL = "memory://bucket/run"


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(scope="module")
def config(tiny_rm_folder: Path, preference_file: Path) -> CampaignConfig:
    return config_for(tiny_rm_folder, preference_file, Path("unused"))


def on(machine: str, caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process on that machine: it has opened nothing."""
    Machine(caches / machine, monkeypatch)()


def config_in_store(config: CampaignConfig, **changes: Any) -> CampaignConfig:
    return CampaignConfig.model_validate({**config.model_dump(mode="json", exclude_none=True), "out": URL, **changes})


def made(attempts: list[Attempt]) -> dict[str, Attempt]:
    return {one.attempt_id: replace(one, seconds=0.0) for one in attempts}


def test_machines_with_nothing_but_the_url_do_the_stages_of_a_campaign(
    config: CampaignConfig, caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("memory").store.clear()
    on("miner", caches, monkeypatch)
    campaign = Campaign(config_in_store(config))
    assert campaign.mine(0).made == 24
    assert campaign.run.shown == URL
    on("other-miner", caches, monkeypatch)
    assert Campaign(config_in_store(config), shard=Shard(1, 2)).mine(0).made == 0
    on("patcher", caches, monkeypatch)
    patched = Campaign(config_in_store(config)).patch(0)
    on("evaluator", caches, monkeypatch)
    campaign = Campaign(config_in_store(config))
    assert campaign.run.patch_report(1) == patched
    campaign.evaluate(1)
    on("reader", caches, monkeypatch)
    read = Campaign(config_in_store(config))
    assert len(read.attempts_of(1, "held_out")) == 20
    assert read.run.clean_outcomes(1) is not None
    assert read.usage.seconds["patch"] > 0
    whole = Campaign(config.model_copy(update={"out": str(tmp_path)}))
    whole.mine(0)
    whole.patch(0)
    whole.evaluate(1)
    assert whole.models.rm(1).fingerprint == read.models.rm(1).fingerprint
    for number, split in ((0, "train"), (1, "held_out")):
        assert made(whole.attempts_of(number, split)) == made(read.attempts_of(number, split))  # type: ignore[arg-type]


def test_late_attempts_change_no_evaluation_and_more_asked_for_are_taken_in(
    config: CampaignConfig, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On what the test before it left."""
    on("reader", caches, monkeypatch)
    campaign = Campaign(config_in_store(config))
    before = campaign.attempts_of(1, "held_out")
    late = [replace(one, attempt_id=one.attempt_id[::-1]) for one in before[:3]]
    campaign.corpus.append(*late)
    assert made(campaign.attempts_of(1, "held_out")) == made(before)
    on("evaluator", caches, monkeypatch)
    campaign = Campaign(config_in_store(config))
    assert made(campaign.attempts_of(1, "held_out")) == made(before)
    campaign.evaluate(1)
    assert len(campaign.attempts_of(1, "held_out")) == len(before) + 3


def test_a_patch_that_was_killed_goes_on_from_what_it_had_frozen(
    config: CampaignConfig, caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("memory").store.clear()
    on("miner", caches, monkeypatch)
    campaign = Campaign(config_in_store(config))
    campaign.mine(0)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("miner.patching.patch.patch", killed)
        with pytest.raises(KeyboardInterrupt):
            campaign.patch(0)
    frozen = campaign.run.kept_stage("patch-1", StageInput)
    assert frozen is not None
    n = len(campaign.findings())
    campaign.corpus.append(
        *(replace(one, finding_id=f"late-{one.finding_id}", response="late") for one in campaign.findings()[:2]),
        *(
            replace(one, attempt_id=f"late-{one.attempt_id}", finding_ids=None)
            for one in campaign.attempts_of(0, "train")[:1]
        ),
    )
    on("patcher", caches, monkeypatch)
    late = Campaign(config_in_store(config))
    assert late.patch(0).findings <= n
    assert late.run.kept_stage("patch-1", StageInput) == frozen
    whole = Campaign(config.model_copy(update={"out": str(tmp_path)}))
    whole.mine(0)
    whole.patch(0)
    assert late.models.rm(1).fingerprint == whole.models.rm(1).fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, "memory://bucket/run holds a campaign made with another seed, criteria, checks or patch"),
        ({"rm": "copy"}, "made with another RM"),
    ],
)
def test_a_worker_with_another_seed_or_rm_is_refused_before_anyone_has_a_result(
    config: CampaignConfig,
    caches: Path,
    tmp_path: Path,
    tiny_rm_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    message: str,
) -> None:
    fsspec.filesystem("memory").store.clear()
    on("first", caches, monkeypatch)
    Campaign(config_in_store(config), shard=Shard(0, 2))
    if "rm" in changes:
        other = _with_another_head(tiny_rm_folder, tmp_path / "other")
        changes = {"rm": {"source": str(other), "dtype": "float32", "device": "cpu"}}
    on("second", caches, monkeypatch)
    with pytest.raises(ResumeError, match=message):
        Campaign(config_in_store(config, **changes), shard=Shard(1, 2))
    on("third", caches, monkeypatch)
    run = RunFolder(located(URL))
    assert not run.corpus.exists()
    assert Campaign(config_in_store(config), shard=Shard(1, 2)).campaign_id


def _with_another_head(folder: Path, out: Path) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, out)
    weights = load_file(out / "model.safetensors")
    weights["classifier.weight"] = weights["classifier.weight"] * 2
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return out


def test_a_worker_with_other_code_is_refused_by_name(
    config: CampaignConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = config.model_copy(update={"out": str(tmp_path)})
    Campaign(shared, shard=Shard(0, 2)).mine(0)
    rows = len(Campaign(shared).corpus.attempts())
    for module in ("miner.searching.attempts", "miner.campaigns.stage_starts"):
        monkeypatch.setattr(f"{module}.code_version", lambda _: "0.0.9+other")
    with pytest.raises(ResumeError, match=r"attack 'corrupt' has another code version here \(0.0.9\+other\)"):
        Campaign(shared, shard=Shard(1, 2)).mine(0)
    assert len(Campaign(shared).corpus.attempts()) == rows
    assert Campaign(shared).mine(0).made == rows, "alone it may go on, as ever"


def test_the_url_is_stored_nowhere(config: CampaignConfig, caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.filesystem("memory").store.clear()
    on("one", caches, monkeypatch)
    campaign = Campaign(config_in_store(config))
    assert 'out = "."' in (campaign.folder / "campaign.toml").read_text(encoding="utf-8")
    assert working_copy.copy_of(campaign.folder) is not None
