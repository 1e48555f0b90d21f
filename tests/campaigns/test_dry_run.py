"""A dry run refuses what the run would refuse at once, in the same words, and leaves the run's folder as it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from miner.campaigns.campaign import Campaign
from miner.campaigns.estimate import Estimate, estimate
from miner.campaigns.rehearsal import Stages
from miner.campaigns.tuning import tune
from miner.config.campaign import CampaignConfig
from miner.errors import CapabilityError, ConfigError, ResumeError, RmMinerError
from miner.language_models.ngram import train_ngram_model
from miner.language_models.training import train_tokenizer
from tests.campaigns.configs import config_for

CYCLE = ("evaluate", "mine", "patch", "evaluate")
RUNS: dict[tuple[str, ...], Callable[[Campaign, int], object]] = {
    ("mine",): Campaign.mine,
    ("evaluate",): Campaign.evaluate,
    ("patch",): Campaign.patch,
    ("tune",): lambda campaign, _round: tune(campaign, "gcg"),
    CYCLE: lambda campaign, _round: campaign.cycle(),
}
CORRUPT = [{"name": "corrupt"}]


@pytest.fixture
def config(tiny_rm_folder: Path, preference_file: Path, tmp_path: Path) -> Callable[..., CampaignConfig]:
    def config(rows: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None, **changes: Any) -> Any:
        data = preference_file
        if rows is not None:
            given = [json.loads(line) for line in preference_file.read_text(encoding="utf-8").splitlines()]
            data = tmp_path / "data.jsonl"
            data.write_text("".join(json.dumps(row) + "\n" for row in rows(given)), encoding="utf-8")
        return config_for(tiny_rm_folder, data, tmp_path / "run", **{"attacks": CORRUPT, **changes})

    return config


def contents(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def refused(config: CampaignConfig, names: tuple[str, ...], kind: type[Exception], says: str, at: int = 0) -> None:
    """Both refuse, and say the same."""
    before = contents(Path(config.out))
    with pytest.raises(kind, match=says) as dry:
        estimate(config, Stages(names=names, round=at, tuned_attack="gcg"))
    assert contents(Path(config.out)) == before
    with pytest.raises(kind) as run:
        RUNS[names](Campaign(config), at)
    assert str(run.value) == str(dry.value)


CHANGES: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    (("mine",), {"mine": {"prompts": 1000, "budget_queries": 80}}, "1000 were asked for"),
    (("mine",), {"checks": {"names": ["fluency"]}}, "lacks what it is built from"),
    (("mine",), {"checks": {"names": ["repetitoin"]}}, "did you mean 'repetition'"),
    (("mine",), {"checks": {"names": ["repetition"], "quorum": 2}}, "quorum of 2 with 1 checks"),
    (("mine",), {"checks": {"names": ["relevance", "repetition"]}}, "'relevance' has evidence on 0"),
    (("evaluate",), {"evaluate": {"prompts": 4, "budget_queries": 80}}, "4 held-out prompts are too few"),
    (CYCLE, {"mine": {"prompts": 1000, "budget_queries": 80}}, "1000 were asked for"),
    (CYCLE, {"patch": {"frozen": ["nothing"]}}, "no parameter's name begins with 'nothing'"),
    (("patch",), {}, "Mine the train split first"),
    (("tune",), {"attacks": [{"name": "random"}]}, "no .*attacks.* entry"),
    (("tune",), {"attacks": [{"name": "gcg"}], "tune": {"prompts": 1000}}, "1000 were asked for"),
    (("mine",), {"tuned": {"attack": "corrupt", "rm_fingerprint": "0" * 64}}, "tuned against another RM"),
]  # fmt: skip


@pytest.mark.parametrize(("names", "changes", "says"), CHANGES, ids=[f"{'-'.join(n)} {s}" for n, _, s in CHANGES])
def test_what_the_run_refuses_the_dry_run_refuses(
    names: tuple[str, ...], changes: dict[str, Any], says: str, config: Callable[..., CampaignConfig]
) -> None:
    refused(config(**changes), names, ConfigError, says)


@pytest.mark.parametrize("names", [("mine",), CYCLE])
def test_an_attack_that_asks_a_policy_needs_one(names: tuple[str, ...], config: Callable[..., CampaignConfig]) -> None:
    refused(config(attacks=[{"name": "best_of_n"}]), names, CapabilityError, "asks a policy; give one: --policy")


def test_a_policy_that_is_not_there_is_refused(config: Callable[..., CampaignConfig], tmp_path: Path) -> None:
    given = {"attacks": [{"name": "best_of_n"}], "policy": {"source": str(tmp_path / "nowhere")}}
    refused(config(**given), ("mine",), RmMinerError, "nowhere")


def test_too_few_good_answers_set_no_bar(config: Callable[..., CampaignConfig]) -> None:
    refused(config(lambda rows: rows[:30]), ("evaluate",), ConfigError, "clean references")


def test_a_cycle_without_pairs_to_train_on_is_refused_before_it_attacks(config: Callable[..., CampaignConfig]) -> None:
    def unpaired(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"prompt": row["prompt"], "chosen": row["chosen"]} for row in rows]

    given = config(unpaired)
    refused(given, CYCLE, ConfigError, "nothing clean to train on")
    assert Campaign(given).corpus.attempts() == []


@pytest.mark.parametrize("names", [CYCLE, ("patch",)])
def test_lora_without_its_package_is_refused_before_anything_is_attacked(
    names: tuple[str, ...], config: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    given = config(patch={"lora_rank": 4})
    refused(given, names, ConfigError, "pip install peft")
    assert Campaign(given).corpus.attempts() == []


def test_a_round_that_was_not_patched_is_refused(config: Callable[..., CampaignConfig]) -> None:
    refused(config(), ("mine",), ConfigError, "Patch first: rmminer patch", at=1)


def test_a_corpus_that_cannot_be_written_is_refused(config: Callable[..., CampaignConfig]) -> None:
    given = config()
    Path(given.out).mkdir()
    (Path(given.out) / "corpus").write_text("a file")
    refused(given, ("mine",), ConfigError, "is a file, not a folder; name another")


def test_a_judge_that_is_blind_is_refused_where_that_is_quick_to_see(
    config: Callable[..., CampaignConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = Random(0)
    texts = [" ".join("".join(rng.choices("qxzjkvw0123456789", k=5)) for _ in range(20)) for _ in range(300)]
    train_ngram_model(texts, train_tokenizer(texts, 600), order=4, out=tmp_path / "blind")
    judged = {"names": ["order", "repetition"], "false_alarm": 0.05}
    given = config(checks=judged, reference_lm={"source": str(tmp_path / "blind")})
    refused(given, ("mine",), ConfigError, "word salads")
    monkeypatch.setattr("miner.campaigns.rehearsal.MAX_CHECKED_S", 0.0)
    told = estimate(given, Stages(names=("mine",))).unchecked
    assert [line.partition(":")[0] for line in told] == [
        f"whether {told[0].split()[1]} clean answers set a bar",
        "whether the checks can read this text",
    ]


def test_another_campaigns_folder_is_refused_and_its_own_is_not(config: Callable[..., CampaignConfig]) -> None:
    own = config(mine={"prompts": 2, "budget_queries": 40})
    assert Campaign(own).mine(0).made == 2
    refused(own.model_copy(update={"seed": 7}), ("mine",), ResumeError, "another seed, criteria, checks or patch")
    before = contents(Path(own.out))
    found: Estimate = estimate(own, Stages(names=("mine",)))
    assert found.unchecked == ()
    assert contents(Path(own.out)) == before


def test_what_is_measured_for_a_dry_run_is_not_kept_where_the_run_is(config: Callable[..., CampaignConfig]) -> None:
    given = config()
    found = estimate(given, Stages(names=CYCLE))
    assert [stage.name for stage in found.stages] == list(CYCLE)
    assert not Path(given.out).exists()


def test_a_suite_goes_on_without_what_the_rm_cannot_answer(config: Callable[..., CampaignConfig]) -> None:
    given = config(attacks=[{"name": "best_of_n"}])
    (stage,) = estimate(given, Stages(names=("evaluate",), leaving_out_unable=True)).stages
    assert stage.attempts == 10, "the control alone"
