"""The dtype is what the device is measured to be fast in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from miner.checkpoints import precision
from miner.checkpoints.precision import choose
from miner.errors import ModelError

CPU = torch.device("cpu")


def test_auto_takes_the_dtype_that_is_measured_to_be_fast(machine: Callable[..., None]) -> None:
    machine(float32=40, bfloat16=0.9)
    assert {choose(purpose, CPU).name for purpose in ("ranking", "training", "reading")} == {"float32"}
    machine(float32=200, bfloat16=500)
    assert choose("ranking", CPU).name == choose("training", CPU).name == "bfloat16"
    assert choose("reading", CPU).name == "float32", "what verdicts rest on is the same on every machine"


def test_a_gain_within_the_noise_is_none(machine: Callable[..., None]) -> None:
    machine(float32=200, bfloat16=210)
    assert choose("ranking", CPU).name == "float32"
    machine(float32=0, bfloat16=0)
    assert choose("ranking", CPU).name == "float32", "nothing measured is no gain"


def test_training_asks_for_more_than_faster_products(machine: Callable[..., None]) -> None:
    machine(float32=100, bfloat16=140)
    assert choose("ranking", CPU).name == "bfloat16"
    assert choose("training", CPU).name == "float32"
    assert "training steps at" in choose("training", CPU).reason


def test_a_step_of_training_is_timed_and_its_rate_is_believable() -> None:
    precision.gflops.cache_clear()
    product, step = (precision.gflops("cpu", torch.float32, purpose) for purpose in ("ranking", "training"))
    assert 0.02 * product < step < 2 * product


def test_fp16_ranks_only_what_is_stored_in_it(machine: Callable[..., None]) -> None:
    machine(float32=8, bfloat16=4, float16=60)  # a T4
    assert choose("ranking", CPU, stored="float16").name == "float16"
    assert choose("ranking", CPU, stored="bfloat16").name == "float32"
    assert choose("training", CPU, stored="float16").name == "float32"


def test_an_explicit_dtype_wins_and_an_unknown_one_is_refused(machine: Callable[..., None]) -> None:
    machine(float32=40, bfloat16=0.9)
    assert choose("training", CPU, "bfloat16").dtype == torch.bfloat16
    with pytest.raises(ModelError, match="dtype 'float8' is unknown"):
        choose("ranking", CPU, "float8")  # type: ignore[arg-type]


def test_the_choice_says_what_it_rests_on(machine: Callable[..., None]) -> None:
    machine(float32=40, bfloat16=0.9)
    assert str(choose("ranking", CPU)) == "float32 (products at 0.9 GFLOP/s in bfloat16, 40 in float32)"


def test_a_product_is_timed_once_per_process_and_threads_stay_as_they_were() -> None:
    threads = torch.get_num_threads()
    precision.gflops.cache_clear()
    first = precision.gflops("cpu", torch.float32)
    assert first > 0.1
    assert precision.gflops("cpu", torch.float32) == first
    assert precision.gflops.cache_info().misses == 1
    assert torch.get_num_threads() == threads


def test_a_dtype_that_the_device_refuses_is_not_fast() -> None:
    assert precision.gflops("cpu", torch.bool) == 0.0
