"""Two studies side by side, on stored runs whose onset and gold are known."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miner.errors import ConfigError, DataError
from miner.measuring.overopt.comparison import BUDGETS, compare_studies, first_round
from miner.measuring.overopt.log import RunLog, read_samples
from miner.measuring.overopt.results import RunInfo
from miner.measuring.overopt.rows import SampleRow
from miner.measuring.overopt.summary import summarise_study
from miner.reporting.overopt_page import write_overopt_report

LAST, EVERY, N_PROMPTS = 60, 3, 24
MODELS = {"rm": "one", "policy": "p", "gold": "g", "data": "d"}
NAN = float("nan")


def stored(
    folder: Path,
    *,
    onset: int,
    gain: float = 0.0,
    speed: float = 1.0,
    last: int = LAST,
    models: dict[str, str] = MODELS,
    **settings: float,
) -> None:
    """A run whose gold rises by ``gain``, then falls to nothing from ``onset``; KL is ``speed`` nats a step."""
    rng, rows = np.random.default_rng(0), []
    for step in range(0, last + 1, EVERY):
        gamed = max(0.0, (step - onset) / 20)
        for prompt in range(N_PROMPTS):
            noise = 0.02 * rng.normal()
            gold = max(0.0, 0.3 + gain * min(step, onset) / LAST - 0.3 * gamed) + noise
            known = {"proxy": 0.02 * step + 3 * gamed + noise, "gold": gold, "kl": speed * step, "nonsense": NAN}
            row: dict[str, Any] = {f.name: NAN for f in fields(SampleRow)} | known
            rows.append(SampleRow(**row | {"step": step, "prompt_id": f"{prompt:02d}", "response": "an answer"}))
    log = RunLog(folder)
    log.samples = rows
    log.write_rows()
    log.write_info(
        RunInfo(
            name=folder.name, method="rl", settings={"steps": last, **settings}, models=models, bar={}, status="done"
        )
    )


def two_studies(tmp_path: Path, *, after: int, **changes: Any) -> tuple[Path, Path]:
    first, second = tmp_path / "overopt", tmp_path / "overopt-round1"
    for seed in range(3):
        stored(first / f"rl-kl0.01-seed{seed}", onset=24)
        stored(second / f"rl-kl0.01-seed{seed}", onset=after, **changes)
    return first, second


def test_gaming_that_starts_later_is_told_with_its_step_and_distance(tmp_path: Path) -> None:
    found = compare_studies(*two_studies(tmp_path, after=39))
    assert [pair.later for pair in found.pairs] == [True] * 3
    assert found.later is not None
    assert (found.later.value, found.later.n) == (1.0, 3)
    assert found.pairs[0].before.onset == pytest.approx(24, abs=2)
    assert found.pairs[0].after.onset == pytest.approx(39, abs=2)
    assert found.pairs[0].before.onset_kl == pytest.approx(24, abs=2)


def test_a_later_step_at_fewer_nats_is_no_longer_way(tmp_path: Path) -> None:
    found = compare_studies(*two_studies(tmp_path, after=39, speed=0.3))
    assert found.pairs[0].later is True
    assert found.pairs[0].further is False


def test_never_is_later_and_two_that_never_game_say_nothing(tmp_path: Path) -> None:
    never = compare_studies(*two_studies(tmp_path, after=200))
    assert [pair.later for pair in never.pairs] == [True] * 3
    assert never.games is not None
    assert (never.games[0].value, never.games[1].value) == (1.0, 0.0)
    swapped = compare_studies(tmp_path / "overopt-round1", tmp_path / "overopt")
    assert [pair.later for pair in swapped.pairs] == [False] * 3
    alone = compare_studies(tmp_path / "overopt-round1", tmp_path / "overopt-round1")
    assert alone.later is None


def test_gaming_from_the_first_steps_on_has_no_place_and_decides_nothing(tmp_path: Path) -> None:
    stored(tmp_path / "a" / "run", onset=-18)
    stored(tmp_path / "b" / "run", onset=39)
    for first, second in (("a", "b"), ("b", "a")):
        (pair,) = compare_studies(tmp_path / first, tmp_path / second).pairs
        assert (pair.before.games, pair.after.games, pair.later) == (True, True, None)


def test_a_run_that_ended_early_is_compared_up_to_there(tmp_path: Path) -> None:
    stored(tmp_path / "a" / "run", onset=39)
    stored(tmp_path / "b" / "run", onset=200, last=24)
    (pair,) = compare_studies(tmp_path / "a", tmp_path / "b").pairs
    assert (pair.last_step, pair.before.games, pair.later) == (24, False, None)


def test_an_interval_of_three_pairs_is_students(tmp_path: Path) -> None:
    for seed, gain in enumerate((0.0, 0.1, 0.2)):
        stored(tmp_path / "a" / f"run{seed}", onset=39)
        stored(tmp_path / "b" / f"run{seed}", onset=39, gain=gain)
    change = compare_studies(tmp_path / "a", tmp_path / "b").best_gold
    assert change is not None
    assert change.high - change.low == pytest.approx(2 * 4.303 * (0.1 * 39 / LAST) / 3**0.5, rel=0.2)


def test_gold_is_compared_at_the_best_step_and_at_equal_distance(tmp_path: Path) -> None:
    found = compare_studies(*two_studies(tmp_path, after=39, gain=0.2))
    assert found.best_gold is not None
    assert found.best_gold.value == pytest.approx(0.2 * 39 / LAST, abs=0.03)
    assert [budget for budget, _ in found.budgets] == [budget for budget in BUDGETS if budget <= LAST]
    at_thirty = dict(found.budgets)[30.0]
    assert at_thirty.value == pytest.approx(0.2 * 30 / LAST + 0.3 * 6 / 20, abs=0.03)


def test_the_best_step_of_noise_is_not_better_than_the_rest(tmp_path: Path) -> None:
    stored(tmp_path / "a" / "run", onset=200)
    found = compare_studies(tmp_path / "a", tmp_path / "a").pairs[0].before
    assert found.best_gold == pytest.approx(0.3, abs=0.006)


def test_studies_of_another_policy_or_with_no_run_in_common_are_refused(tmp_path: Path) -> None:
    first, second = two_studies(tmp_path, after=39)
    stored(second / "rl-kl0.01-seed0", onset=39, models=MODELS | {"policy": "other"})
    with pytest.raises(ConfigError, match="differ in policy"):
        compare_studies(first, second)
    stored(second / "rl-kl0.01-seed0", onset=39, learning_rate=1e-3)
    stored(first / "rl-kl0.01-seed0", onset=39, learning_rate=1e-4)
    with pytest.raises(ConfigError, match="differ in learning_rate"):
        compare_studies(first, second)
    log = RunLog(second / "rl-kl0.01-seed0")
    log.samples = [replace(row, prompt_id=f"x{row.prompt_id}") for row in read_samples(log.folder)]
    log.write_rows()
    with pytest.raises(ConfigError, match="learning_rate, prompts, not only in the RM"):
        compare_studies(first, second)
    stored(tmp_path / "third" / "rl-kl0.5-seed9", onset=39)
    with pytest.raises(ConfigError, match="share no run"):
        compare_studies(first, tmp_path / "third")


def test_studies_without_gold_cannot_be_compared(tmp_path: Path) -> None:
    first, _ = two_studies(tmp_path, after=39)
    log = RunLog(first / "rl-kl0.01-seed0")
    log.samples = [replace(row, gold=NAN) for row in read_samples(log.folder)]
    log.write_rows()
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare_studies(first, first)


def test_a_patched_rm_is_compared_with_the_first_unasked(tmp_path: Path) -> None:
    first, second = two_studies(tmp_path, after=39)
    assert (first_round(second), first_round(first), first_round(tmp_path / "-round1")) == (first, None, None)
    summary = summarise_study(second)
    assert summary.comparison is not None
    page = write_overopt_report(summary).read_text(encoding="utf-8")
    assert "overopt → overopt-round1" in page
    assert re.search(r"starts later, or never: <data[^>]*>3</data> of <data[^>]*>3</data>", page)
    assert summarise_study(first).comparison is None


def test_a_first_round_that_cannot_be_compared_is_a_note(tmp_path: Path) -> None:
    first, second = two_studies(tmp_path, after=39)
    for run in first.iterdir():
        run.rename(run.with_name(run.name + "0"))
    summary = summarise_study(second)
    assert summary.comparison is None
    assert any("share no run" in note for note in summary.notes)
    with pytest.raises(ConfigError, match="share no run"):
        summarise_study(second, against=first)


def test_a_first_round_that_cannot_be_read_is_a_note_unless_it_was_asked_for(tmp_path: Path) -> None:
    first, second = two_studies(tmp_path, after=39)
    (first / "rl-kl0.01-seed1" / "samples.parquet").write_bytes(b"damaged")
    summary = summarise_study(second)
    assert summary.comparison is None
    assert any("not compared with the RM as given: cannot read" in note for note in summary.notes)
    with pytest.raises(DataError, match="cannot read"):
        summarise_study(second, against=first)


def test_a_study_whose_runs_are_all_unfinished_is_nothing_to_compare_with(tmp_path: Path) -> None:
    first, second = two_studies(tmp_path, after=39)
    for run in first.iterdir():
        log = RunLog(run)
        log.write_info(replace(log.info(), status="running"))
    with pytest.raises(ConfigError, match="holds no finished run"):
        summarise_study(second, against=first)
