"""A policy, the same collapsed to one text, and a real run of `rmminer overopt` with its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from miner.cli.entry import app
from miner.language_models import load_language_model
from miner.language_models.training import LanguageModelRecipe, train_language_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory, docs_world: Any) -> Path:
    """Byte-level BPE, where the RM reads word pieces; no chat template."""
    torch.set_num_threads(1)
    recipe = LanguageModelRecipe(
        vocabulary=320, hidden=16, layers=1, heads=2, steps=10, batch_rows=4, row_tokens=32, max_length=128
    )
    out = Path(tmp_path_factory.mktemp("policy"))
    train_language_model(docs_world.policy_text()[:50], recipe, out=out, seed=0, progress=lambda *_: None)
    return out


@pytest.fixture(scope="session")
def collapsed_folder(policy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same policy so sure of every token that it writes one text to each prompt."""
    out = Path(tmp_path_factory.mktemp("collapsed"))
    lm = load_language_model(policy_folder, device="cpu")
    backbone: Any = lm.model.base_model
    with torch.no_grad():
        backbone.norm.weight.mul_(1e4)
    lm.model.save_pretrained(out)
    lm.tokenizer.save_pretrained(out)
    return out


@pytest.fixture(scope="session")
def rl_run(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_rm_folder: Path,
    policy_folder: Path,
    preference_file: Path,
    cache: Path,
) -> Path:
    """The folder of a run of six steps with checkpoints at 2, 4 and 6, in its campaign's folder."""
    out = tmp_path_factory.mktemp("campaign") / "run"
    small = {
        "overopt.prompts_per_step": 2, "overopt.samples_per_prompt": 2, "overopt.max_new_tokens": 6,
        "overopt.eval_every": 2, "overopt.checkpoint_every": 2, "overopt.eval_prompts": 10,
        "overopt.learning_rate": 0.003, "checks.names": "['repetition']", "checks.false_alarm": 0.05,
        "data.fractions": "[0.4,0.3,0.3]",
    }  # fmt: skip
    done = CliRunner().invoke(
        app,
        [
            "overopt", "--out", str(out), "--rm", str(tiny_rm_folder), "--policy", str(policy_folder),
            "--data", str(preference_file), "--gold", str(tiny_rm_folder), "--second", "none", "--method", "rl",
            "--steps", "6", "--kl", "0.1", "--seeds", "1", "--device", "cpu", "--dtype", "float32", "--json",
            *(part for key, value in small.items() for part in ("--set", f"{key}={value}")),
        ],
        env={"RMMINER_CACHE": str(cache)},
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return out / "overopt" / "rl-kl0.1-seed0"
