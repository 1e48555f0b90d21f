"""Replicas on several devices score as one, and a device that dies takes nothing with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miner.errors import ModelError, TooLongError
from miner.rewards import load_reward_model
from miner.rewards.base import Pair, RelaxRequest, SwapRequest
from tests.rewards.models import conversation

FolderOf = Callable[[str], Path]
PROMPT = conversation("What does this function do?")
DEAD = RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later")


@pytest.fixture(params=["bert", "llama"])
def both(request: pytest.FixtureRequest, folder_of: FolderOf) -> tuple[Any, Any]:
    """One RM alone and the same with three replicas."""
    folder = folder_of(request.param)
    return tuple(load_reward_model(folder, device=device, dtype="float32") for device in ("cpu", "cpu,cpu,cpu"))  # type: ignore[return-value]


def pairs_for(rm: Any, n: int = 40) -> list[Pair]:
    rng = np.random.default_rng(0)
    return [Pair(PROMPT, " ".join(rm.words(int(rng.integers(3, 12)), rng))) for _ in range(n)]


def kill(member: Any, error: Exception = DEAD) -> None:
    def dead(*_args: Any, **_options: Any) -> Any:
        raise error

    member.values = dead
    member.gradients = dead


def test_replicas_score_and_differentiate_as_one_model_does(both: tuple[Any, Any]) -> None:
    alone, fleet = both
    pairs = pairs_for(alone)
    np.testing.assert_allclose(fleet.rewards(pairs), alone.rewards(pairs), atol=1e-5)
    np.testing.assert_allclose(fleet.exact_rewards(pairs), alone.exact_rewards(pairs), atol=1e-5)
    requests = [SwapRequest((PROMPT,), (1.0,), pair.response, 3) for pair in pairs]
    for one, other in zip(fleet.swaps(requests), alone.swaps(requests), strict=True):
        assert [[s.replacement for s in row] for row in one] == [[s.replacement for s in row] for row in other]
    relaxed = [RelaxRequest(pair, 4, 2, 1.0, 1.0, seed) for seed, pair in enumerate(pairs[:24])]
    assert fleet.relax(relaxed) == alone.relax(relaxed)


def test_every_replica_works(both: tuple[Any, Any]) -> None:
    _, fleet = both
    worked = set()
    for at, member in enumerate(fleet.fleet.members):
        values = member.values

        def noted(*args: Any, at: int = at, values: Any = values, **options: Any) -> Any:
            worked.add(at)
            return values(*args, **options)

        member.values = noted
    fleet.rewards(pairs_for(fleet))
    assert worked == {0, 1, 2}


@pytest.mark.parametrize("victims", [[0], [1], [2], [0, 1], [1, 2]])
def test_the_share_of_a_dead_device_is_done_by_the_others(both: tuple[Any, Any], victims: list[int]) -> None:
    alone, fleet = both
    members = list(fleet.fleet.members)
    for victim in victims:
        kill(members[victim])
    pairs = pairs_for(alone)
    np.testing.assert_allclose(fleet.rewards(pairs), alone.rewards(pairs), atol=1e-5)
    assert fleet.reward(pairs[0]) == pytest.approx(alone.reward(pairs[0]), abs=1e-5)
    assert len(fleet.fleet.members) == 3 - len(victims)
    assert len(fleet.lost_devices) == len(victims)
    assert all("unspecified launch failure" in lost and "\n" not in lost for lost in fleet.lost_devices)
    fleet.rewards(pairs)
    assert len(fleet.lost_devices) == len(victims), "a dead device is not asked again"


def test_when_all_are_dead_it_says_how_to_go_on(both: tuple[Any, Any]) -> None:
    _, fleet = both
    for member in list(fleet.fleet.members):
        kill(member)
    with pytest.raises(ModelError, match=r"every device failed .* run the same command again"):
        fleet.rewards(pairs_for(fleet))


def test_an_error_of_the_work_is_no_dead_device(both: tuple[Any, Any]) -> None:
    _, fleet = both
    kill(fleet.fleet.members[1], TooLongError("input of 900 tokens"))
    with pytest.raises(TooLongError):
        fleet.rewards(pairs_for(fleet))
    assert len(fleet.fleet.members) == 3


def test_an_unknown_device_among_several_is_refused(folder_of: FolderOf) -> None:
    with pytest.raises(ModelError, match="'cuda:7' is not available"):
        load_reward_model(folder_of("bert"), device="cpu, cuda:7")
