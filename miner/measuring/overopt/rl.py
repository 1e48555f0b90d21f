"""One run of reinforcement learning against a reward model: trained, measured, guarded, resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PrinterCallback, ProgressCallback, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import get_last_checkpoint

from corpus.records import Prompt
from miner.checkpoints.loading import quiet_transformers
from miner.judging.gold import Floats, gold_floor
from miner.language_models import load_language_model
from miner.language_models.sampling import BrokenPolicyError
from miner.measuring.overopt.eval_prompts import store_prompts
from miner.measuring.overopt.log import RunLog, StepRow, require_same
from miner.measuring.overopt.measuring import HeldOutEvaluation
from miner.measuring.overopt.results import RunInfo
from miner.measuring.overopt.rows import SampleRow
from miner.measuring.overopt.settings import RlSettings
from miner.rewards.base import Pair
from miner.searching.version import package_version

if TYPE_CHECKING:
    from miner.measuring.overopt.trainer import PolicyTrainer

WARM_UP_STEPS = 5  # Adam's first steps are as long as any, and know nothing yet
CHECKPOINTS = "checkpoints"
OPTIMISER_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin")

Watch = Callable[[int, int, Sequence[SampleRow]], None]
"""Called after every step with (step, of all, its rows); of one that was not measured there are none."""


@dataclass(frozen=True, kw_only=True)
class RlRun:
    """A policy, what it is optimised against, and where."""

    name: str
    folder: Path
    policy_source: str
    ranking: Callable[[Sequence[Pair]], Floats]  # the RM's rewards, as fast as it gives them
    prompts: tuple[Prompt, ...]  # to train on
    evaluation: HeldOutEvaluation
    settings: RlSettings
    models: dict[str, str]

    def run(self, watch: Watch = lambda *_: None) -> RunInfo:
        """Train to the last step, going on from the last checkpoint; a finished run is read, not made again.

        A policy whose KL is not finite or over the limit stops the run, with the reason in ``run.json``; the last
        checkpoint before it stays, and a higher limit goes on from there.

        Raises:
            ResumeError: the folder was made with other models or settings.
        """
        log = RunLog(self.folder)
        last = self._last_checkpoint()
        info = RunInfo(
            name=self.name,
            method="rl",
            settings=asdict(self.settings),
            models=self.models,
            bar=_bar(self.evaluation),
            last_good=last.name if last else "",
            target=self.evaluation.metrics.rm.name,
            names=_names(self.evaluation),
            code_version=package_version(),
        )
        if log.exists():
            stored = log.info()
            require_same(info, stored, self.folder)
            if stored.is_over(steps=self.settings.steps, max_kl=self.settings.max_kl):
                store_prompts(self.folder, self.evaluation.prompts)  # runs of older versions lack them
                return stored
        info = replace(info, floor=_floor(self.evaluation))
        log.open(info, from_step=_step_of(last))
        store_prompts(self.folder, self.evaluation.prompts)
        return self._train(log, info, last, watch)

    def _train(self, log: RunLog, info: RunInfo, last: Path | None, watch: Watch) -> RunInfo:
        with quiet_transformers(), torch.random.fork_rng():
            trainer = self._trainer()
            recorder = _Recorder(self, trainer, log, watch)
            trainer.add_callback(recorder)
            try:
                trainer.train(resume_from_checkpoint=str(last) if last else None)
            except BrokenPolicyError as error:
                recorder.reason = f"step {trainer.state.global_step}: {error}"
        last = self._last_checkpoint()
        info = replace(
            info,
            status="stopped" if recorder.reason else "done",
            reason=recorder.reason,
            stopped_kl=recorder.stopped_kl,
            last_good=last.name if last else "",
        )
        log.write_rows()
        log.write_info(info)
        return info

    def _trainer(self) -> PolicyTrainer:
        from datasets import Dataset
        from trl import RLOOConfig

        from miner.measuring.overopt.trainer import PolicyTrainer

        settings = self.settings
        policy = load_language_model(self.policy_source, device=str(self.evaluation.policy.model.device))
        policy.model.requires_grad_(True)
        by_id = {prompt.prompt_id: prompt for prompt in self.prompts}
        args = RLOOConfig(
            output_dir=str(self.folder / CHECKPOINTS),
            max_steps=settings.steps,
            per_device_train_batch_size=settings.prompts_per_step * settings.samples_per_prompt,
            num_generations=settings.samples_per_prompt,
            max_completion_length=settings.max_new_tokens,
            learning_rate=settings.learning_rate,
            optim=settings.optimiser,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=WARM_UP_STEPS,
            beta=settings.kl,
            save_strategy="no",  # the recorder asks for checkpoints
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            bf16=False,  # a KL of log-probabilities that differ in their fourth digit
            gradient_checkpointing=False,
            use_cpu=policy.model.device.type == "cpu",
            dataloader_pin_memory=False,
            seed=settings.seed,
            data_seed=settings.seed,
        )
        trainer = PolicyTrainer(
            policy=policy,
            prompt_tokens={key: policy.prompt_ids(prompt.conversation) for key, prompt in by_id.items()},
            reward=lambda ids, texts: self._margins([by_id[one] for one in ids], texts),
            min_new_tokens=settings.min_new_tokens,
            args=args,
            train_dataset=Dataset.from_list([{"prompt": key} for key in by_id]),
        )
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        return trainer

    def _margins(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[float]:
        pairs = [Pair(prompt.conversation, text) for prompt, text in zip(prompts, texts, strict=True)]
        criteria = self.evaluation.metrics.criteria
        return [criteria.margin(float(reward)) for reward in self.ranking(pairs)]

    def _last_checkpoint(self) -> Path | None:
        folder = self.folder / CHECKPOINTS
        found = get_last_checkpoint(str(folder)) if folder.is_dir() else None
        return Path(found) if found else None

    def policies(self) -> dict[int, Path]:
        """Every checkpoint by step: a folder that loads as a policy."""
        return checkpoints_of(self.folder)


class _Recorder(TrainerCallback):
    """Measures, guards and asks for checkpoints: a policy is saved only once it was measured and found whole."""

    def __init__(self, run: RlRun, trainer: PolicyTrainer, log: RunLog, watch: Watch) -> None:
        self.run, self.trainer, self.log, self.watch = run, trainer, log, watch
        self.reason = ""
        self.stopped_kl: float | None = None
        self.started = time.perf_counter()

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        del args, control, kwargs
        if not self.log.samples:
            self._measure(state)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        del args, kwargs
        settings, step = self.run.settings, state.global_step
        self._log_step(step)
        last = step >= settings.steps
        if step % settings.eval_every == 0 or last:
            self._measure(state)
        else:
            self.watch(step, settings.steps, ())
        if not self.reason and (step % settings.checkpoint_every == 0 or last):
            control.should_save = True
        if self.reason:
            control.should_training_stop = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Only the newest checkpoint can be resumed from; the others stay as policies."""
        del args, control, kwargs
        for step, folder in self.run.policies().items():
            if step < state.global_step:
                for name in OPTIMISER_FILES:
                    (folder / name).unlink(missing_ok=True)

    def _log_step(self, step: int) -> None:
        means = self.trainer.batch_means()
        now = time.perf_counter()
        self.log.steps.append(StepRow(step=step, seconds=now - self.started, **means))
        self.started = now
        if not math.isfinite(means["kl"]):
            self.reason = f"step {step}: the mean KL of the batch is {means['kl']}"

    def _measure(self, state: TrainerState) -> None:
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        model.eval()
        try:
            rows = self.run.evaluation.measure(model, state.global_step)
        except BrokenPolicyError as error:
            self.reason = f"step {state.global_step}: {error}"
            return
        finally:
            model.train()
        kl = float(np.mean([row.kl for row in rows]))
        if not kl <= self.run.settings.max_kl:
            self.stopped_kl = kl if math.isfinite(kl) else None
            self.reason = (
                f"step {state.global_step}: a mean KL of {kl:.4g} nats is over the limit of "
                f"{self.run.settings.max_kl:g}. Lower the learning rate, raise the KL weight, or max_kl to go on"
            )
            return
        self.log.samples += rows
        self.log.write_rows()
        self.watch(state.global_step, self.run.settings.steps, rows)
        self.started = time.perf_counter()


def _bar(evaluation: HeldOutEvaluation) -> dict[str, float]:
    criteria = evaluation.metrics.criteria
    return {
        "threshold": criteria.margin(criteria.threshold),
        "quantile": criteria.quantile,
        "clean_mean": criteria.clean_mean,
        "clean_std": criteria.clean_std,
    }


def _floor(evaluation: HeldOutEvaluation) -> dict[str, float]:
    gold = evaluation.metrics.gold
    found = gold_floor(gold, evaluation.prompts) if gold else None
    return asdict(found) if found else {}


def _names(evaluation: HeldOutEvaluation) -> dict[str, str]:
    metrics = evaluation.metrics
    gold = metrics.gold.name if metrics.gold else ""
    second = metrics.second.name if metrics.second else ""
    return {"policy": evaluation.policy.name, "gold": gold, "second": second}


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def checkpoints_of(folder: Path) -> dict[int, Path]:
    """Every checkpoint of a run's folder by step: each loads as a policy."""
    return dict(sorted((_step_of(path), path) for path in (folder / CHECKPOINTS).glob("checkpoint-*")))
