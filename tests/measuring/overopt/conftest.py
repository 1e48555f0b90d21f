"""A tiny policy, a toy reward model, and runs small enough for TRL's real trainer in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from miner.judging.criteria import criteria_for_scorer
from miner.judging.gold import ContrastGold
from miner.measuring.overopt.measuring import HeldOutEvaluation, Metrics
from miner.measuring.overopt.rl import RlRun
from miner.measuring.overopt.settings import RlSettings
from miner.testing import ToyRewardModel, toy_prompts

SETTINGS = RlSettings(
    steps=6,
    kl=0.05,
    prompts_per_step=2,
    samples_per_prompt=2,
    train_prompts=8,
    max_new_tokens=6,
    learning_rate=1e-3,
    eval_every=2,
    eval_prompts=8,
    checkpoint_every=2,
)


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer LM that has seen the toy's words; no chat template."""
    from miner.language_models.training import LanguageModelRecipe, train_language_model

    toy = ToyRewardModel()
    texts = [f"Question {n}? {' '.join(toy.vocabulary[n % 90 : n % 90 + 8])}" for n in range(60)]
    recipe = LanguageModelRecipe(
        vocabulary=340, hidden=32, layers=1, heads=2, steps=20, batch_rows=8, row_tokens=32, max_length=64
    )
    folder = tmp_path_factory.mktemp("policy")
    train_language_model(texts, recipe, out=folder, seed=0, progress=lambda *_: None)
    return folder


@pytest.fixture
def toy_run(tiny_policy: Path, tmp_path: Path) -> Callable[..., RlRun]:
    """Makes a run in ``tmp_path``; keyword arguments change its settings, or the run itself."""
    from miner.language_models import load_language_model

    rm, reference = ToyRewardModel(), load_language_model(tiny_policy, device="cpu")
    words = rm.vocabulary
    clean = tuple(replace(p, reference=f"{words[n]} {words[n + 1]}") for n, p in enumerate(toy_prompts(24)))
    metrics = Metrics(rm=rm, criteria=criteria_for_scorer(rm, clean, 0.95), gold=ContrastGold.of(clean))

    def make(*, name: str = "run", evaluated: dict[str, Any] | None = None, **changes: Any) -> RlRun:
        settings = replace(SETTINGS, **changes)
        evaluation = HeldOutEvaluation(
            policy=reference, prompts=clean[:8], metrics=metrics, max_new_tokens=6, seed=settings.seed
        )
        return RlRun(
            name=name,
            folder=tmp_path / name,
            policy_source=str(tiny_policy),
            ranking=rm.exact_rewards,
            prompts=clean[8:16],
            evaluation=replace(evaluation, **(evaluated or {})),
            settings=settings,
            models={"rm": rm.fingerprint},
        )

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run's folder with a study of two runs, and nothing else: no campaign file, no model."""
    from tests.measuring.overopt.scored_study import gaming_rows, store

    for seed in (0, 1):
        store(tmp_path / "run" / "overopt" / f"rl-seed{seed}", gaming_rows(seed))
    return tmp_path / "run"


@pytest.fixture
def study(out: Path) -> Path:
    return out / "overopt"
