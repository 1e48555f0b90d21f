"""Runs with TRL's real trainer: stored, resumed, guarded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from miner.errors import ResumeError
from miner.judging.gold import ContrastGold
from miner.language_models import load_language_model
from miner.measuring.overopt import rl
from miner.measuring.overopt.log import RunLog, read_samples, read_steps
from miner.measuring.overopt.rl import RlRun
from miner.rewards.base import Pair
from miner.searching.version import package_version

pytestmark = [
    pytest.mark.ranges,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


class Killed(BaseException):
    pass


def uneven(pairs: Sequence[Pair]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A reward that differs between any two answers, so that there is something to learn from each."""
    return np.array([float(sum(map(ord, pair.response)) % 97) for pair in pairs])


def test_every_measured_step_and_every_training_step_is_stored(toy_run: Callable[..., RlRun]) -> None:
    run = toy_run()
    info = run.run()
    assert info.status == "done"
    assert sorted({row.step for row in read_samples(run.folder)}) == [0, 2, 4, 6]
    assert [row.step for row in read_steps(run.folder)] == [1, 2, 3, 4, 5, 6]
    assert pq.read_table(run.folder / "samples.parquet").num_rows == 4 * 8


def test_the_first_measurement_is_the_reference_itself(toy_run: Callable[..., RlRun]) -> None:
    run = replace(toy_run(learning_rate=1e-2), ranking=uneven)
    run.run()
    rows = read_samples(run.folder)
    assert all(abs(row.kl) < 1e-3 for row in rows if row.step == 0)
    assert max(row.kl for row in rows if row.step == 6) > 1e-3


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_the_same(toy_run: Callable[..., RlRun]) -> None:
    whole, torn = toy_run(name="whole"), toy_run(name="torn")
    whole.run()

    def kill(step: int, _of: int, _rows: object) -> None:
        if step == 4:
            raise Killed

    with pytest.raises(Killed):
        torn.run(kill)
    assert RunLog(torn.folder).info().status == "running"
    assert torn.run().status == "done"
    assert read_samples(torn.folder) == pytest.approx(read_samples(whole.folder)) or [
        (r.step, r.prompt_id, r.response) for r in read_samples(torn.folder)
    ] == [(r.step, r.prompt_id, r.response) for r in read_samples(whole.folder)]


def test_a_finished_run_is_read_and_not_made_again(
    toy_run: Callable[..., RlRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_run().run()
    monkeypatch.setattr(RlRun, "_train", None)
    assert toy_run().run().status == "done"


def test_a_run_names_what_it_was_made_with(toy_run: Callable[..., RlRun], tiny_policy: Path) -> None:
    info = toy_run(steps=2).run()
    assert info.names == {"policy": tiny_policy.name, "gold": ContrastGold.of(()).name, "second": ""}
    assert info.code_version == package_version()


def test_a_folder_of_other_settings_is_refused(toy_run: Callable[..., RlRun]) -> None:
    toy_run().run()
    with pytest.raises(ResumeError, match=r"kl = 0\.05, not 0\.2"):
        toy_run(kl=0.2, steps=8).run()


def test_a_finished_run_of_other_settings_or_models_is_not_passed_off_as_this_one(
    toy_run: Callable[..., RlRun],
) -> None:
    toy_run().run()
    with pytest.raises(ResumeError, match=r"learning_rate = 0\.001, not 1e-09"):
        toy_run(learning_rate=1e-9).run()
    with pytest.raises(ResumeError, match=r"rm = '.+', not 'another'"):
        replace(toy_run(), models={"rm": "another"}).run()
    assert toy_run(max_kl=10.0, steps=4).run().status == "done"


def test_every_checkpoint_loads_as_a_policy(toy_run: Callable[..., RlRun]) -> None:
    run = toy_run()
    run.run()
    assert list(run.policies()) == [2, 4, 6]
    for folder in run.policies().values():
        assert load_language_model(folder, device="cpu").tokenizer.bos_token == "<s>"


def test_an_exploding_kl_stops_and_keeps_the_last_good_checkpoint(toy_run: Callable[..., RlRun]) -> None:
    info = toy_run(learning_rate=1e-4, name="calm").run()
    assert info.status == "done"
    wild = toy_run(learning_rate=0.3, max_kl=0.5, name="wild")
    info = wild.run()
    assert info.status == "stopped"
    assert "over the limit of 0.5" in info.reason


def test_a_run_stopped_by_its_kl_goes_on_under_a_higher_limit_alone(toy_run: Callable[..., RlRun]) -> None:
    kl: dict[int, float] = {}

    def under(max_kl: float, name: str = "run") -> RlRun:
        return replace(toy_run(learning_rate=1e-2, max_kl=max_kl, name=name), ranking=uneven)

    under(1000.0, name="whole").run(
        lambda step, _, rows: kl.update({step: float(np.mean([row.kl for row in rows]))} if rows else {})
    )
    assert kl[2] < kl[4]
    stopped = under((kl[2] + kl[4]) / 2).run()
    assert (stopped.status, stopped.last_good) == ("stopped", "checkpoint-2")
    assert under(0.1 * kl[2] + 0.9 * kl[4]).run() == stopped
    info = under(1000.0).run()
    assert (info.status, info.reason, info.stopped_kl) == ("done", "", None)
    assert sorted({row.step for row in read_samples(under(1000.0).folder)}) == [0, 2, 4, 6]


def test_broken_weights_stop_the_run_behind_its_last_good_checkpoint(
    toy_run: Callable[..., RlRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_step = rl._Recorder._log_step

    def break_at_three(self: rl._Recorder, step: int) -> None:
        log_step(self, step)
        if step == 3:
            with torch.no_grad():
                next(iter(self.trainer.model.parameters())).fill_(float("nan"))

    monkeypatch.setattr(rl._Recorder, "_log_step", break_at_three)
    run = toy_run()
    info = run.run()
    assert (info.status, info.last_good) == ("stopped", "checkpoint-2")
    assert "not finite" in info.reason
    assert sorted({row.step for row in read_samples(run.folder)}) == [0, 2]
    assert run.run() == info


def test_what_is_trained_is_the_policy_that_is_sampled(toy_run: Callable[..., RlRun]) -> None:
    """Log-probabilities and entropies of answers that cannot end at their first tokens, by hand."""
    trainer = toy_run(min_new_tokens=3, max_new_tokens=6, kl=0.1)._trainer()
    ends = list(trainer.decoding.end_tokens)
    ids = torch.tensor([[3, 5, 7, 11, 13, 17, 19], [3, 4, 6, 8, 10, 12, 14]])
    logps, entropies, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, ids, torch.ones_like(ids), 5, batch_size=1, compute_entropy=True
    )
    logits = trainer.model(input_ids=ids).logits[:, 1:-1].detach()
    assert float(logits[:, :3].softmax(-1)[..., ends].sum()) > 1e-4, "or barring it would show nowhere"
    logits[:, :3, ends] = float("-inf")
    expected = torch.distributions.Categorical(logits=logits.clamp(min=-1e9))
    assert torch.allclose(logps, expected.log_prob(ids[:, 2:]), atol=1e-5)
    assert entropies is not None
    assert torch.allclose(entropies, expected.entropy(), atol=1e-5)
    assert logps.requires_grad
