"""Ensembles, onsets by gold, and what becomes of a gold that says nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from corpus.records import Prompt
from miner.judging.criteria import criteria_for_scorer
from miner.judging.ensemble import Ensemble
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.rows import SampleRow
from miner.rewards.base import Pair
from miner.testing import ToyRewardModel, toy_prompts

STEPS = range(0, 100, 5)
Course = Callable[[int, np.random.Generator], float]


@pytest.mark.parametrize(("mix", "expected"), [("mean", 1.5), ("min", 1.0), ("variance", 1.375), ("less", 0.0)])
def test_ensembles_mix_margins(mix: str, expected: float) -> None:
    class Fixed:
        name = fingerprint = "fixed"

        def __init__(self, value: float) -> None:
            self.value = value

        def exact_rewards(self, pairs: list[Pair]) -> np.ndarray:
            return np.full(len(pairs), self.value)

    bar = replace(criteria_for_scorer(ToyRewardModel(), varied(), 0.95), clean_mean=0.0, clean_std=1.0)
    members = ((Fixed(1.0), bar), (Fixed(2.0), bar))
    found = Ensemble(members=members, mix=mix).exact_rewards([Pair((), "x")])  # type: ignore[arg-type]
    assert found == pytest.approx([expected])


def varied() -> list[Prompt]:
    words = ToyRewardModel().vocabulary
    return [replace(p, reference=words[n]) for n, p in enumerate(toy_prompts(20))]


def climb(step: int) -> float:
    return 0.06 * max(0, step - 40)


def rows(gold_of: Course, second_of: Course, *, seed: int = 0, n: int = 32) -> list[SampleRow]:
    """A run whose proxy climbs from step 40 on."""
    rng = np.random.default_rng(seed)
    return [
        SampleRow(
            step=step, prompt_id=str(prompt), response="x", proxy=0.005 * step + climb(step) + rng.normal(),
            gold=gold_of(step, rng), second=second_of(step, rng), kl=0.1 * step, entropy=3.0, length=5.0,
            repetition=0.0, surprise=4 + 0.3 * rng.normal(), latent=1 + 0.1 * rng.normal(), nonsense=float("nan"),
        )
        for step in STEPS
        for prompt in range(n)
    ]  # fmt: skip


def falls(step: int, rng: np.random.Generator) -> float:
    return 0.3 + 0.001 * min(step, 40) - 0.006 * max(0, step - 40) + 0.1 * rng.normal()


def rises(step: int, rng: np.random.Generator) -> float:
    return 0.3 + 0.003 * step + 0.1 * rng.normal()


def test_the_onset_with_gold_is_where_gold_begins_to_fall() -> None:
    found = gold_onset(Curves(rows(falls, rises)))
    assert found.games
    assert found.onset is not None
    assert found.onset.low <= 40 <= found.onset.high
    assert found.onset.bend.step == pytest.approx(40, rel=0.15)


def test_a_run_whose_gold_only_rises_is_clean() -> None:
    assert gold_onset(Curves(rows(rises, rises))).games is False


def test_gold_that_never_rose_above_what_a_constant_earns_has_nothing_to_lose() -> None:
    curves = Curves(rows(falls, rises))  # gold is 0.34 at its best
    told = gold_onset(curves, floor=0.2)
    assert told == gold_onset(curves)
    below = gold_onset(curves, floor=0.36)
    assert (below.games, below.onset, below.fall) == (None, None, None)
    assert "0.360 that one and the same answer to every prompt earns" in below.reason


@pytest.mark.parametrize(
    ("gold", "reason"), [(lambda *_: 0.5, "gold is constant"), (lambda *_: float("nan"), "gold abstained")]
)
def test_a_gold_that_says_nothing_is_named_and_decides_nothing(gold: Course, reason: str) -> None:
    found = gold_onset(Curves(rows(gold, rises)))
    assert found.games is None
    assert reason in found.reason


def test_too_few_prompts_give_no_verdict() -> None:
    found = gold_onset(Curves(rows(falls, rises, n=7)))
    assert found.games is None
    assert "7 prompts are too few" in found.reason


def test_flat_gold_games_no_more_often_than_chance_however_long_the_run() -> None:
    """The best of many windows of noise lies above the last."""
    rng, n_steps, games = np.random.default_rng(0), 48, 0
    for _ in range(60):
        gold = 0.1 + 0.05 * rng.normal(size=(24, n_steps))
        games += bool(gold_onset(Curves(planted(gold))).games)
    assert games <= 6


@pytest.mark.parametrize("at", [12, 16, 24])
def test_an_early_onset_is_covered_by_its_interval(at: int) -> None:
    rng, covered, steps = np.random.default_rng(at), 0, 4 * np.arange(19)
    for _ in range(20):
        gold = 0.1 - 0.1 * np.clip((steps - at) / 24, 0, 1) + 0.06 * rng.normal(size=(32, len(steps)))
        found = gold_onset(Curves(planted(gold, climbs=np.clip((steps - at) / 24, 0, 1)))).onset
        covered += found is not None and found.low <= at <= found.high
    assert covered >= 17


def planted(gold: np.ndarray, climbs: np.ndarray | None = None) -> list[SampleRow]:
    """A run with this gold, (n_prompts, n_steps), whose proxy rises throughout, and by two where it ``climbs``."""
    rng, nan = np.random.default_rng(1), float("nan")
    proxy = 0.01 * np.arange(gold.shape[1]) + (0 if climbs is None else 2 * climbs) + 0.5 * rng.normal(size=gold.shape)
    return [
        SampleRow(
            step=4 * step, prompt_id=f"{prompt:02d}", response="x", proxy=proxy[prompt, step], gold=gold[prompt, step],
            second=nan, kl=float(step), entropy=nan, length=5.0, repetition=nan, surprise=nan, latent=nan, nonsense=nan,
        )
        for step in range(gold.shape[1])
        for prompt in range(len(gold))
    ]  # fmt: skip


@pytest.mark.parametrize("proxy", [lambda _: 0.0, lambda step: -0.05 * step, lambda step: 3.0 * (step > 70)])
def test_the_proxy_has_no_say_in_the_truth(proxy: Callable[[int], float]) -> None:
    found = rows(falls, rises)
    assert gold_onset(Curves([replace(row, proxy=proxy(row.step)) for row in found])) == gold_onset(Curves(found))
