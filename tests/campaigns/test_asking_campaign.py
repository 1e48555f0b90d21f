"""Campaigns against RMs that are no scalar classifiers: mechanics, not rates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from miner.campaigns.campaign import Campaign
from miner.campaigns.estimate import estimate
from miner.campaigns.rehearsal import Stages
from miner.config.campaign import CampaignConfig
from miner.errors import CapabilityError, ModelError
from miner.reporting.summarise import summarise
from miner.reporting.summary import read_summary
from miner.rewards import Pair
from miner.searching.oracle import Oracle

JOINT = {"layout": "labels", "template": "{prompt} [SEP] {a} [SEP] {b}"}


def config_for(rm_folder: Path, data_file: Path, out: Path, **changes: Any) -> CampaignConfig:
    raw: dict[str, Any] = {
        "rm": {"source": str(rm_folder), "dtype": "float32", "device": "cpu", "kind": "pairwise", "pairwise": JOINT},
        "data": {"source": str(data_file), "fractions": [0.4, 0.3, 0.3]},
        "out": str(out),
        "rounds": 1,
        "checks": {"names": ["repetition", "construction"], "false_alarm": 0.05},
        "attacks": [
            {"name": "corrupt", "params": {"variants": 4}},
            {"name": "random", "params": {"width": 8}},
            {"name": "gcg", "params": {"width": 8}},
        ],
        "mine": {"prompts": 6, "budget_queries": 60},
        "evaluate": {"prompts": 10, "budget_queries": 60},
    }
    return CampaignConfig.model_validate({**raw, **changes})


@pytest.fixture(scope="module")
def tiny_lm_folder(docs_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal LM of one layer with random weights."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        docs_world.sentences("train"),
        trainers.BpeTrainer(vocab_size=500, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False),
    )
    folder = tmp_path_factory.mktemp("lm")
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", model_max_length=256).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=backend.get_vocab_size(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, intermediate_size=16, max_position_embeddings=256,
        )  # fmt: skip
        Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cycled(tiny_rm_folder: Path, preference_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    out = tmp_path_factory.mktemp("pairwise")
    campaign = Campaign(config_for(tiny_rm_folder, preference_file, out))
    campaign.cycle()
    summarise(campaign, command="test").write(out)
    return campaign


def test_every_attack_runs_against_a_pairwise_rm(cycled: Campaign) -> None:
    attempts = cycled.corpus.attempts()
    assert {attempt.attack for attempt in attempts} == {"corrupt", "random", "gcg"}
    assert [attempt.error for attempt in attempts if attempt.error] == []
    assert all(attempt.gradients for attempt in attempts if attempt.attack == "gcg" and attempt.outcome != "found")


def test_findings_beat_their_reference_from_text(cycled: Campaign) -> None:
    rm, criteria = cycled.models.rm(0), cycled.models.criteria(0)
    findings = cycled.findings()
    assert findings
    for finding in findings:
        assert finding.reference_reward == 0.0
        assert finding.reward > max(0.0, criteria.threshold - 1e-6)
        assert rm.reward(Pair(finding.prompt, finding.response)) == pytest.approx(finding.reward, abs=1e-4)


def test_its_summary_has_clean_accuracy_and_no_round_that_retraining_would_make(cycled: Campaign) -> None:
    rounds = read_summary(cycled.folder)["rounds"]
    assert [one["round"] for one in rounds] == [0]
    assert 0 <= rounds[0]["clean_accuracy"]["value"] <= 1


def test_the_cost_is_estimated_from_its_own_speed(tiny_rm_folder: Path, preference_file: Path, tmp_path: Path) -> None:
    found = estimate(config_for(tiny_rm_folder, preference_file, tmp_path), Stages(names=("mine",)))
    assert found.queries_per_second > 0


def test_prompts_without_a_reference_stop_a_run_before_it_starts(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    campaign = Campaign(config_for(tiny_rm_folder, preference_file, tmp_path))
    some = tuple(
        replace(prompt, reference=None) if prompt.split == "train" else prompt for prompt in campaign.world.prompts
    )
    campaign.world = replace(campaign.world, prompts=some)
    with pytest.raises(ModelError, match=r"6 of 6 prompts of the train split have no reference"):
        campaign.mine(0)
    assert campaign.corpus.attempts() == []


def test_a_judge_that_writes_no_number_ends_its_attempts_with_an_error(
    tiny_lm_folder: Path, preference_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = {
        "template": "{prompt}\n{response}\nScore:",
        "chat": False,
        "readout": "text",
        "number": r"(\d+)",
        "high": 999,
    }
    rm = {"source": str(tiny_lm_folder), "device": "cpu", "kind": "judge", "judge": judge}
    campaign = Campaign(config_for(tiny_lm_folder, preference_file, tmp_path, rm=rm, attacks=[{"name": "random"}]))
    references = {str(prompt.reference) for prompt in campaign.world.prompts}

    def written(judge: Any, _model: Any, rows: Any) -> list[str]:
        texts = [judge.pipeline.tokenizer.decode(ids).split("\n")[-2].strip() for ids, _ in rows]
        return [str(len(text)) if text in references else "I would rather not say." for text in texts]

    monkeypatch.setattr(type(campaign.models.rm(0)), "written", written)
    campaign.mine(0)
    attempts = campaign.corpus.attempts()
    assert len(attempts) == 6
    assert {attempt.error for attempt in attempts} == {
        "the RM gives no number for any text. Try: rmminer doctor, or --dtype float32"
    }


def test_a_gradient_attack_on_a_judge_that_writes_is_refused_before_it_runs(
    tiny_lm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    judge = {"template": "{prompt}\n{response}", "chat": False, "readout": "text", "number": "(.)"}
    rm = {"source": str(tiny_lm_folder), "device": "cpu", "kind": "judge", "judge": judge}
    campaign = Campaign(config_for(tiny_lm_folder, preference_file, tmp_path, rm=rm, attacks=[{"name": "gcg"}]))
    with pytest.raises(CapabilityError, match=r"attack 'gcg' needs token gradients; .* only scores"):
        Oracle(rm=campaign.models.rm(0)).require(campaign.config.attacks[0].build())
