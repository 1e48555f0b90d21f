"""A whole campaign with a tiny random RM on real docstrings: mechanics, not rates."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from corpus.records import Finding
from miner.campaigns.campaign import Campaign
from miner.campaigns.usage import Usage, peak_memory_mb
from miner.config.campaign import read_config
from miner.errors import ConfigError, ResumeError
from miner.patching.findings import training_findings
from miner.patching.patch import patch
from miner.patching.trainable import trainable
from miner.reporting.summarise import summarise
from miner.reporting.summary import read_summary
from miner.rewards import Pair, RewardModel
from tests.campaigns.configs import config_for
from tests.file_hammer import ended, two_at_once

pytestmark = pytest.mark.ranges

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def cycled(tiny_rm_folder: Path, preference_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    out = tmp_path_factory.mktemp("run")
    campaign = Campaign(config_for(tiny_rm_folder, preference_file, out))
    campaign.cycle()
    summarise(campaign, command="test").write(out)
    return campaign


def test_the_summary_has_every_round_and_attack_with_n_and_interval(cycled: Campaign) -> None:
    summary = read_summary(cycled.folder)
    assert [one["round"] for one in summary["rounds"]] == [0, 1]
    for one in summary["rounds"]:
        assert {row["attack"] for row in one["attacks"]} == {"corrupt", "random"}
        for row in one["attacks"]:
            assert row["n"] == 10
            assert row["low"] <= row["rate"] <= row["high"]
            assert row["found"] == round(row["rate"] * row["n"])
        assert one["clean_accuracy"]["low"] <= one["clean_accuracy"]["value"] <= one["clean_accuracy"]["high"]
    assert "verdict" in summary["checks"]
    seen = {row["attack"]: row["seen"] for row in summary["rounds"][1]["attacks"]}
    assert seen == {"corrupt": True, "random": False}


def test_the_model_of_every_round_loads_from_the_folder_the_summary_names(cycled: Campaign) -> None:
    from miner.rewards import load_reward_model

    rounds = read_summary(cycled.folder)["rounds"]
    assert len(rounds) == 2
    for one in rounds:
        rm = load_reward_model(cycled.folder / one["model"], device="cpu")
        assert rm.fingerprint == one["rm_fingerprint"]


def test_every_stored_reward_is_what_plain_transformers_gives_for_the_text(cycled: Campaign) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    findings = cycled.findings()
    assert findings
    for number in (0, 1):
        model = AutoModelForSequenceClassification.from_pretrained(cycled.models.source(number)).eval()
        tokenizer = AutoTokenizer.from_pretrained(cycled.models.source(number))
        for finding in [f for f in findings if f.round == number]:
            inputs = tokenizer(finding.prompt[0].content, finding.response, return_tensors="pt")
            with torch.no_grad():
                assert float(model(**inputs).logits[0, 0]) == pytest.approx(finding.reward, abs=TOLERANCE)


def test_every_finding_wins_and_is_convicted_by_the_quorum(cycled: Campaign) -> None:
    findings = cycled.findings()
    assert {finding.round for finding in findings} == {0, 1}
    for finding in findings:
        assert finding.reward >= finding.threshold
        assert finding.reference_reward is not None
        assert finding.reward > finding.reference_reward
        assert sum(verdict.verdict == "nonsense" for verdict in finding.certificate) >= cycled.models.certifier.quorum


def test_a_patch_sees_no_held_out_prompt_family_or_form(cycled: Campaign) -> None:
    section = cycled.config.patch.model_copy(update={"held_out_forms": ("repetition",)})
    findings = cycled.findings()
    assert {finding.split for finding in findings} == {"train", "held_out"}
    allowed = training_findings(findings, section)
    assert all(f.split == "train" and f.family != "random" and f.form != "repetition" for f in allowed)
    assert {f.split for f in training_findings(findings, cycled.config.patch)} == {"train"}


@pytest.mark.parametrize(("starts", "start"), [("previous", 1), ("given", 0)])
def test_a_second_patch_starts_from_the_first_or_from_the_rm_as_given(
    cycled: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts: str, start: int
) -> None:
    class Asked(Exception):
        pass

    def asked(rm: RewardModel, _prompts: object, findings: list[Finding], *_: object, **__: object) -> None:
        assert {finding.round for finding in findings} == {0}
        raise Asked(rm.fingerprint)

    folder = tmp_path / "copy"
    shutil.copytree(cycled.folder, folder)
    campaign = Campaign(cycled.config.model_copy(update={"out": str(folder)}))
    section = campaign.config.patch.model_copy(update={"starts": starts})
    campaign.config = campaign.config.model_copy(update={"patch": section})  # a run that began so
    monkeypatch.setattr("miner.patching.patch.patch", asked)
    with pytest.raises(Asked, match=cycled.models.rm(start).fingerprint):
        campaign.patch(1)


def test_a_patch_refuses_findings_of_held_out_prompts(cycled: Campaign, tmp_path: Path) -> None:
    leaked = [finding for finding in cycled.findings() if finding.split == "held_out"]
    with pytest.raises(ConfigError, match="not of the train split"):
        patch(
            trainable(cycled.models.rm(0)), cycled.world.by_split["train"], leaked, cycled.config.patch,
            out=tmp_path, seed=0, progress=lambda *_: None,
        )  # fmt: skip


def test_a_patch_lowers_its_findings_against_their_references_and_leaves_the_rm_alone(cycled: Campaign) -> None:
    findings: list[Finding] = training_findings(cycled.findings(), cycled.config.patch)

    def gap(number: int) -> float:
        rm = cycled.models.rm(number)
        good = rm.exact_rewards([Pair(f.prompt, str(f.reference)) for f in findings])
        bad = rm.exact_rewards([Pair(f.prompt, f.response) for f in findings])
        return float((good - bad).mean())

    before = cycled.models.rm(0).fingerprint
    assert gap(1) > gap(0) + 0.1
    assert cycled.models.rm(0).fingerprint == before


def test_opening_again_resumes_and_another_rm_data_or_config_is_refused(
    cycled: Campaign, tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    n_attempts = len(cycled.corpus.attempt_ids())
    again = Campaign(cycled.config)
    again.cycle()
    assert len(again.corpus.attempt_ids()) == n_attempts

    from safetensors.torch import load_file, save_file

    other = tmp_path / "other-rm"
    shutil.copytree(tiny_rm_folder, other)
    weights = load_file(other / "model.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ResumeError, match="another RM"):
        Campaign(config_for(other, preference_file, cycled.folder))
    with pytest.raises(ResumeError, match="another seed"):
        Campaign(config_for(tiny_rm_folder, preference_file, cycled.folder, seed=99))
    shorter = tmp_path / "fewer.jsonl"
    shorter.write_text("\n".join(preference_file.read_text().splitlines()[:200]))
    with pytest.raises(ResumeError, match="another data"):
        Campaign(config_for(tiny_rm_folder, shorter, cycled.folder))
    raw = {"source": str(tiny_rm_folder), "dtype": "float32", "device": "cpu", "max_length": 64}
    with pytest.raises(ResumeError, match="another RM pipeline"):
        Campaign(config_for(tiny_rm_folder, preference_file, cycled.folder, rm=raw))


def test_a_held_out_set_too_small_for_its_interval_is_refused(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    campaign = Campaign(
        config_for(tiny_rm_folder, preference_file, tmp_path, evaluate={"prompts": 4, "budget_queries": 10})
    )
    with pytest.raises(ConfigError, match="too few"):
        campaign.evaluate(0)


def test_a_killed_patch_goes_on_from_its_checkpoint(cycled: Campaign, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    findings = training_findings(cycled.findings(), cycled.config.patch)
    steps: list[int] = []

    def until_eight(done: int, total: int) -> None:
        del total
        steps.append(done)
        if done == 8 and len(steps) == 8:
            raise Killed

    def train() -> None:
        patch(
            trainable(cycled.models.rm(0)), cycled.world.by_split["train"], findings, cycled.config.patch,
            out=tmp_path, seed=0, progress=until_eight,
        )  # fmt: skip

    with pytest.raises(Killed):
        train()
    assert len(list(tmp_path.glob("checkpoints*"))) == 1
    train()
    assert steps[8] > 1, "not from the start"
    assert steps[-1] == 12
    assert list(tmp_path.glob("checkpoints*")) == []


def test_the_round_folders_hold_what_resuming_needs(cycled: Campaign) -> None:
    patched = json.loads((cycled.run.round(1) / "patch.json").read_text())
    assert patched["findings"] > 0
    assert patched["families"] == ["structural"]


def test_attempts_of_older_code_or_criteria_are_not_counted_with_newer_ones(cycled: Campaign, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(cycled.folder, folder)
    campaign = Campaign(cycled.config.model_copy(update={"out": str(folder)}))
    before = [a for a in campaign.attempts_of(0, "held_out") if a.attack == "corrupt"]
    newer = [replace(a, attempt_id=f"newer-{a.attempt_id}", code_version="2") for a in before[:3]]
    campaign.corpus.append(*newer)
    after = [a for a in campaign.attempts_of(0, "held_out") if a.attack == "corrupt"]
    assert {a.attempt_id for a in after} == {a.attempt_id for a in newer}


def test_the_time_of_earlier_processes_is_counted(cycled: Campaign) -> None:
    before = Usage(cycled.folder).seconds
    assert {"patch", "attack 0", "attack 1", "accuracy"} <= set(before)
    again = Campaign(cycled.config)
    again.evaluate(0)
    assert again.usage.seconds["attack 0"] > before["attack 0"]
    assert again.usage.seconds["patch"] == before["patch"]
    assert summarise(again, command="test").seconds["patch"] == round(before["patch"], 1)


def test_an_interrupted_stage_counts_workers_add_up_and_a_damaged_count_is_left_out(tmp_path: Path) -> None:
    first, second = Usage(tmp_path), Usage(tmp_path)
    with pytest.raises(KeyboardInterrupt), first.timed("mine"):
        raise KeyboardInterrupt
    assert Usage(tmp_path).seconds["mine"] > 0
    first.add({"patch": 2.0})
    second.add({"patch": 3.0})
    assert first.seconds["patch"] == second.seconds["patch"] == 5.0
    (tmp_path / "usage" / f"{first.name}.json").write_text("[]", encoding="utf-8")
    assert second.seconds == {"patch": 3.0}


def test_peak_memory_is_told_on_windows_and_nothing_where_no_one_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (peak_memory_mb() or 0) > 50
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_mb() is None
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: SimpleNamespace(peak_wset=3 << 20))
    assert peak_memory_mb() == 3.0


def test_two_processes_that_open_one_campaign_disturb_neither_each_other_nor_what_it_says(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    config = config_for(tiny_rm_folder, preference_file, folder)
    (tmp_path / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    openers, budgets = two_at_once("open", tmp_path / "config.json", 12), set()
    while any(opener.poll() is None for opener in openers):
        if (folder / "campaign.toml").exists():
            budgets.add(read_config(folder / "campaign.toml").mine.budget_queries)
    ended(openers)
    assert budgets == {80, 90}
    assert {entry.name for entry in folder.iterdir()} == {"campaign.toml", "identity.json", "usage"}


def test_opening_a_campaign_again_writes_neither_its_config_nor_its_identity(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    config = config_for(tiny_rm_folder, preference_file, tmp_path)
    files = tmp_path / "campaign.toml", tmp_path / "identity.json"

    def versions() -> list[tuple[int, int]]:
        Campaign(config)
        return [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]

    assert versions() == versions()
