"""What somebody fails to say at one step costs that step, and no run its verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miner.errors import DataError, OutageError
from miner.judging.criteria import criteria_for_scorer
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.log import RunLog, read_samples
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.rl import RlRun
from miner.measuring.overopt.rows import NAN, SampleRow
from miner.measuring.overopt.summary import summarise_study
from miner.reporting.overopt_page import write_overopt_report
from miner.rewards.base import Pair
from miner.testing import ToyRewardModel
from tests.measuring.overopt.scored_study import PROMPTS, STEPS, gaming_rows, store

IDS = [prompt.prompt_id for prompt in PROMPTS]


def lacking(
    measure: str, steps: Sequence[int], ids: Sequence[str] = IDS, rows: Sequence[SampleRow] | None = None
) -> list[SampleRow]:
    """``rows``, or a gaming run, without a measure at some steps on some prompts."""
    nothing: dict[str, Any] = {measure: NAN}
    return [
        replace(row, **nothing) if row.step in steps and row.prompt_id in ids else row for row in rows or gaming_rows(0)
    ]


class Down:
    """An RM behind HTTP that answers nobody."""

    name = fingerprint = "down"

    def exact_rewards(self, pairs: Sequence[Pair]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        raise OutageError(f"no answer for {len(pairs)} pairs")


@pytest.mark.parametrize("measure", ["gold", "proxy"])
def test_an_outage_costs_its_step_and_no_prompt(measure: str) -> None:
    run = Curves(lacking(measure, [20]))
    whole = run.whole("gold", "proxy")
    assert (len(whole.steps), len(whole.prompts)) == (len(STEPS) - 1, len(IDS))
    assert 20 not in whole.steps
    assert np.isfinite([whole.by_prompt("gold"), whole.by_prompt("proxy")]).all()


def test_what_most_prompts_have_costs_the_others() -> None:
    whole = Curves(lacking("gold", [20], IDS[:10])).whole("gold")
    assert (len(whole.steps), whole.prompts) == (len(STEPS), tuple(sorted(IDS[10:])))
    most = Curves(lacking("gold", [20], IDS[:13])).whole("gold")
    assert (len(most.steps), len(most.prompts)) == (len(STEPS) - 1, len(IDS))


def test_a_step_that_has_more_than_the_others_decides_nothing() -> None:
    """Labels of the first step for all prompts, of the others for a few."""
    whole = Curves(lacking("gold", STEPS[1:], IDS[8:])).whole("gold")
    assert (len(whole.steps), whole.prompts) == (len(STEPS), tuple(sorted(IDS[:8])))


def test_a_measure_that_nobody_took_leaves_no_prompt() -> None:
    run = Curves(lacking("gold", STEPS))
    assert run.whole("gold").prompts == ()
    assert run.whole("proxy") is run


def test_a_run_whose_gold_failed_once_keeps_its_verdict_and_says_so(tmp_path: Path) -> None:
    store(tmp_path / "overopt" / "run", lacking("gold", [50], IDS))
    summary = summarise_study(tmp_path / "overopt")
    (run,) = summary.runs
    assert run.with_gold.games
    assert run.with_gold == gold_onset(
        Curves([row for row in read_samples(tmp_path / "overopt" / "run") if row.step != 50])
    )
    assert run.fit is not None
    assert run.best_step is not None
    assert [point.step for point in run.points if point.gold is None] == [50]
    assert run.points[-1].gold == pytest.approx(np.mean([r.gold for r in gaming_rows(0) if r.step == 55]), abs=1e-3)
    assert summary.notes == ("run: 1 of 12 steps are left out, at which most prompts have no gold",)


def test_steps_and_prompts_left_out_are_told_together(tmp_path: Path) -> None:
    rows = lacking("gold", [50], rows=lacking("gold", [30], IDS[:4]))
    for name in ("a", "b"):
        store(tmp_path / "overopt" / name, rows)
    (note,) = summarise_study(tmp_path / "overopt").notes
    assert note == (
        "a, b: 1 of 12 steps are left out, at which most prompts have no gold; "
        "gold is that of the 20 prompts that have it at every other step; 4 others are left out"
    )


def test_steps_at_which_the_second_rm_was_down_are_counted(tmp_path: Path) -> None:
    for name, steps in (("never", []), ("once", [30]), ("always", STEPS)):
        store(tmp_path / "overopt" / name, lacking("second", steps))
    notes = summarise_study(tmp_path / "overopt").notes
    assert notes == ("once: the second RM gave no score at 1 of 12 steps",)


def test_a_step_without_rewards_is_no_part_of_the_bend(tmp_path: Path) -> None:
    steep = [replace(row, proxy=row.proxy + 0.2 * max(0, row.step - 25)) for row in gaming_rows(0)]
    for name, rows in (("whole", steep), ("once", lacking("proxy", [10], rows=steep))):
        store(tmp_path / "overopt" / name, rows)
    once, whole = summarise_study(tmp_path / "overopt").runs
    assert whole.alarm is not None
    assert once.alarm is not None
    assert once.alarm.onset == pytest.approx(whole.alarm.onset, abs=8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_an_rm_that_only_looks_on_cannot_end_the_training(toy_run: Callable[..., RlRun]) -> None:
    run = toy_run()
    toy = ToyRewardModel()
    words = toy.vocabulary
    clean = [replace(prompt, reference=words[n]) for n, prompt in enumerate(PROMPTS)]
    seen = replace(run.evaluation.metrics, second=Down(), second_criteria=criteria_for_scorer(toy, clean, 0.95))
    run = replace(run, evaluation=replace(run.evaluation, metrics=seen))
    assert run.run().status == "done"
    assert np.isnan([row.second for row in read_samples(run.folder)]).all()


def test_prompts_left_out_are_told_beside_an_onset_that_cannot_be_placed(tmp_path: Path) -> None:
    """Gold is gone within a few steps."""
    gone = [
        replace(row, gold=row.gold - 5 * min(1, row.step / 10), proxy=row.proxy + row.step) for row in gaming_rows(0)
    ]
    store(tmp_path / "overopt" / "run", lacking("gold", [30], IDS[:4], gone))
    (run,) = (summary := summarise_study(tmp_path / "overopt")).runs
    assert run.with_gold.games
    assert run.with_gold.reason
    assert any("gold is that of the 20 prompts that have it at every step" in note for note in summary.notes)


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        ({"status": "stopped", "reason": "step 0: the weights are not finite"}, "step 0: the weights are not finite"),
        ({"status": "running"}, "it is not finished"),
    ],
)
def test_a_run_without_measurements_is_left_out_by_name(study: Path, ended: dict[str, Any], why: str) -> None:
    store(study / "broken", [])
    log = RunLog(study / "broken")
    log.write_info(replace(log.info(), **ended))
    summary = summarise_study(study)
    assert [run.info.name for run in summary.runs] == ["rl-seed0", "rl-seed1"]
    assert f"broken has measured nothing and is left out: {why}" in summary.notes
    assert why in write_overopt_report(summary).read_text(encoding="utf-8")


def test_a_study_of_nothing_but_such_runs_says_why(tmp_path: Path) -> None:
    store(tmp_path / "overopt" / "broken", [])
    with pytest.raises(DataError, match="broken has measured nothing"):
        summarise_study(tmp_path / "overopt")
