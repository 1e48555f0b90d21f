"""On a machine without fast bf16 no training, mining or patching step computes in it, optimisers included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from miner.rewards import load_reward_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
COARSE = (torch.bfloat16, torch.float16)


class RefusesCoarseDtypes(TorchDispatchMode):
    """A machine on which every operation in bf16 or fp16 is an error, not just slow."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.n_operations += 1
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, torch.Tensor) and leaf.dtype in COARSE:
                raise AssertionError(f"{func} computes in {leaf.dtype}")
        return result


@contextmanager
def refusing() -> Iterator[None]:
    with RefusesCoarseDtypes() as mode:
        yield
    assert mode.n_operations > 100, "nothing was computed"


def test_the_refusal_itself_sees_bf16() -> None:
    with pytest.raises(AssertionError, match="computes in"), RefusesCoarseDtypes():
        torch.ones(2, 2, dtype=torch.bfloat16) @ torch.ones(2, 2, dtype=torch.bfloat16)


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_training_a_reward_model_computes_in_no_coarse_dtype(
    machine: Callable[..., None], tiny_rm_folder: Path, tmp_path: Path, lora_rank: int
) -> None:
    from miner.patching.preference_trainer import Recipe, TrainingPair, train_preferences

    machine(float32=40, bfloat16=0.9)
    rm = load_reward_model(tiny_rm_folder, device="cpu")
    row = ((2, 5, 6, 3), (0, 0, 0, 0))
    recipe = Recipe(max_steps=2, batch_pairs=2, lora_rank=lora_rank)

    def train() -> None:
        train_preferences(rm, rm.model, [TrainingPair(row, row)] * 4, recipe, out=tmp_path, seed=0, progress=_quiet)

    with refusing():
        train()
    if not lora_rank:
        machine(float32=200, bfloat16=500)
        with pytest.raises(AssertionError, match="computes in"), RefusesCoarseDtypes():
            train()


def test_training_a_language_model_computes_in_no_coarse_dtype(machine: Callable[..., None], tmp_path: Path) -> None:
    from miner.language_models.training import LanguageModelRecipe, train_language_model

    machine(float32=40, bfloat16=0.9)
    recipe = LanguageModelRecipe(
        vocabulary=270, hidden=16, layers=1, heads=1, steps=2, batch_rows=2, row_tokens=8, max_length=16
    )

    def train() -> None:
        train_language_model(["one two three four"] * 8, recipe, out=tmp_path, seed=0, progress=_quiet)

    with refusing():
        train()
    machine(float32=200, bfloat16=500)
    with pytest.raises(AssertionError, match="computes in"), RefusesCoarseDtypes():
        train()


def test_a_policy_is_optimised_in_no_coarse_dtype(machine: Callable[..., None], toy_run: Callable[..., Any]) -> None:
    machine(float32=40, bfloat16=0.9)
    with refusing():
        assert toy_run(steps=1, eval_every=1).run().status == "done"


def test_a_whole_cycle_computes_in_no_coarse_dtype(
    machine: Callable[..., None], tiny_rm_folder: Path, tiny_policy: Path, preference_file: Path, tmp_path: Path
) -> None:
    """Every attack there is, and the patch; ranking, gradients, relaxation, attribution and sampling with them."""
    from attacks import known_attacks
    from miner.campaigns.campaign import Campaign
    from miner.config.campaign import CampaignConfig

    machine(float32=40, bfloat16=0.9)
    attacks = [{"name": name} for name in known_attacks() if name not in OTHER_ATTACKS]
    campaign = Campaign(
        CampaignConfig.model_validate(
            {
                "rm": {"source": str(tiny_rm_folder), "device": "cpu"},
                "policy": {"source": str(tiny_policy), "max_new_tokens": 4},
                "data": {"source": str(preference_file), "fractions": [0.4, 0.3, 0.3]},
                "out": str(tmp_path / "run"),
                "checks": {"names": ["repetition", "construction"], "false_alarm": 0.05},
                "attacks": attacks,
                "mine": {"prompts": 4, "budget_queries": 300},
                "patch": {"steps": 2, "batch_pairs": 4},
            }
        )
    )
    with refusing():
        assert campaign.mine(0).made >= len(attacks)
        campaign.patch(0)
        campaign.mine(1)  # by those that know the RM before its patch, too
    assert {one.attack for one in campaign.corpus.attempts()} == {one["name"] for one in attacks}
    assert not [one.error for one in campaign.corpus.attempts() if one.outcome == "error"]


OTHER_ATTACKS = ("rl", "factual")


def _quiet(_done: int, _total: int) -> None: ...
