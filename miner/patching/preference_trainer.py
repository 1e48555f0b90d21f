"""Bradley–Terry training of a reward model, used for docs world's RM and for every patch.

loss = −log σ(chosen − rejected)                         Bradley–Terry
     + centre · mean((chosen + rejected)²)               keeps the free zero near zero (Eisenstein et al. 2023)
     + anchor · mean((score − score before)²)            keeps clean text where it was, findings left free
     + mean(max(0, nonsense − floor)²)                   pushes nonsense down to an absolute floor, where there is one
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

from corpus.records import digest
from miner.checkpoints.loading import quiet_transformers
from miner.checkpoints.precision import choose
from miner.config.reward_model import TrainingDType
from miner.errors import ConfigError
from miner.patching.trainable import Trainable

Row = tuple[tuple[int, ...], tuple[int, ...]]
Progress = Callable[[int, int], None]
Online = Callable[[], Sequence["TrainingPair"]]
FORWARD_PASSES, MIN_ROWS = 4, 8  # of a batch, and rows of the smallest


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """One preference pair, tokenised. ``*_before`` are the scores to stay near; None leaves that side free. A rejected
    text with a ``floor`` is to score no more than that."""

    chosen: Row
    rejected: Row
    chosen_before: float | None = None
    rejected_before: float | None = None
    floor: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of one training. ``max_steps`` optimiser steps of ``batch_pairs`` pairs.

    ``dtype`` is that of the products; weights and optimiser states are in the model's own. Parameters whose names begin
    as ``frozen`` says stay as they are.
    """

    max_steps: int
    batch_pairs: int = 16
    learning_rate: float = 2e-4
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    centre: float = 0.01
    anchor: float = 0.0
    dtype: TrainingDType = "auto"
    lora_rank: int = 0
    frozen: tuple[str, ...] = ()


class _Pairs(Dataset[TrainingPair]):
    def __init__(self, pairs: Sequence[TrainingPair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> TrainingPair:
        return self.pairs[index]


@dataclass(slots=True)
class _Batch:
    """Opaque to the Trainer, so that it moves and counts nothing in it."""

    pairs: list[TrainingPair]
    unused: dict[str, Any] = field(default_factory=dict)


def _collate(pairs: list[TrainingPair]) -> dict[str, _Batch]:
    return {"batch": _Batch(pairs)}


class PreferenceTrainer(Trainer):
    """``transformers.Trainer`` with the loss above; the RM adapter says how rows become rewards."""

    def __init__(
        self, *, rm: Trainable, recipe: Recipe, dtype: torch.dtype, online: Online | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.online = online
        self.rm = rm
        self.recipe = recipe
        self.dtype = dtype

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        del num_items_in_batch
        pairs: list[TrainingPair] = inputs["batch"].pairs
        if self.online is not None:
            pairs = [*pairs, *self.online()]
        rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        # Not the Trainer's own mixed precision: that leaves the model's forward changed, and the next training with it.
        with torch.autocast(self.rm.model.device.type, self.dtype, enabled=self.dtype != torch.float32):
            scores = scored_by_length(partial(self.rm.logits_for_training, model), rows).float()
        chosen, rejected = scores.chunk(2)
        loss = -torch.nn.functional.logsigmoid(chosen - rejected).mean()
        loss = loss + self.recipe.centre * (chosen + rejected).pow(2).mean()
        if self.recipe.anchor:
            before = [pair.chosen_before for pair in pairs] + [pair.rejected_before for pair in pairs]
            kept = torch.tensor([b is not None for b in before], device=scores.device)
            target = torch.tensor([b or 0.0 for b in before], device=scores.device)
            loss = loss + self.recipe.anchor * ((scores - target).pow(2) * kept).sum() / kept.sum().clamp(min=1)
        floored = [(at, pair.floor) for at, pair in enumerate(pairs) if pair.floor is not None]
        if floored:
            floors = torch.tensor([floor for _, floor in floored], device=scores.device)
            loss = loss + (rejected[[at for at, _ in floored]] - floors).clamp(min=0).pow(2).mean()
        return (loss, {"scores": scores}) if return_outputs else loss


def scored_by_length(score: Callable[[Sequence[Row]], torch.Tensor], rows: Sequence[Row]) -> torch.Tensor:
    """``score`` of the rows, in their order, shape (n_rows,); those of like lengths go through it together.

    A batch padded to its longest row computes on padding for nearly half its time.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    size = max(MIN_ROWS, math.ceil(len(rows) / FORWARD_PASSES))
    parts = [order[start : start + size] for start in range(0, len(rows), size)]
    values = torch.cat([score([rows[i] for i in part]) for part in parts])
    return values[torch.tensor(order, device=values.device).argsort()]


class _Report(TrainerCallback):
    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        del args, control, kwargs
        self.progress(state.global_step, state.max_steps)


def train_preferences(
    rm: Trainable,
    model: PreTrainedModel,
    pairs: Sequence[TrainingPair],
    recipe: Recipe,
    *,
    out: Path,
    seed: int,
    progress: Progress,
    online: Online | None = None,
) -> PreTrainedModel:
    """Train ``model`` in place on ``pairs`` and save it with its tokenizer under ``out``.

    At every step ``online`` is asked for more pairs, made for the weights as they are then.

    A training that was cut off goes on from its last checkpoint in ``out``/checkpoints-…; ``rm`` says how rows become
    rewards and is not changed unless ``model`` is its own.

    Whole weights are trained in fp32 and saved in the dtype that they came in; under an adapter they keep theirs, and
    the adapter is in fp32.

    Raises:
        ConfigError: ``frozen`` names no parameter, or all; LoRA's package is not installed.
    """
    of_these_pairs = digest([[p.chosen[0], p.rejected[0]] for p in pairs])[:12]  # of other pairs, afresh
    checkpoints = out / f"checkpoints-{of_these_pairs}"
    trained = _trained(rm, model, pairs, recipe, checkpoints=checkpoints, seed=seed, progress=progress, online=online)
    _save(rm, trained, out)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return trained


def _trained(
    rm: Trainable,
    model: PreTrainedModel,
    pairs: Sequence[TrainingPair],
    recipe: Recipe,
    *,
    checkpoints: Path,
    seed: int,
    progress: Progress,
    online: Online | None,
) -> PreTrainedModel:
    """``model`` after its last step, an adapter merged into it, in the dtype that it came in."""
    stored_in = model.dtype
    if not recipe.lora_rank:
        torch.nn.Module.to(model, torch.float32)  # master weights: a patch's steps are often under half a bf16 step
    _freeze(model, recipe.frozen)
    trainee: Any = _with_lora(rm, model, recipe.lora_rank) if recipe.lora_rank else model
    trainer = PreferenceTrainer(
        rm=rm,
        recipe=recipe,
        online=online,
        dtype=choose("training", rm.model.device, recipe.dtype).dtype,
        model=trainee,
        args=_on_one_device(
            _arguments(recipe, checkpoints, use_cpu=rm.model.device.type == "cpu", seed=seed), rm.model.device
        ),
        train_dataset=_Pairs(pairs),
        data_collator=_collate,
        callbacks=[_Report(progress)],
    )
    trainer.remove_callback(PrinterCallback)
    resume = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    with quiet_transformers():
        trainer.train(resume_from_checkpoint=resume)
    trained: PreTrainedModel = trainee.merge_and_unload() if recipe.lora_rank else trainee
    trained.eval().requires_grad_(False).to(stored_in)
    return trained


def _save(rm: Trainable, trained: PreTrainedModel, out: Path) -> None:
    """A folder like the one that the RM came from."""
    with quiet_transformers():
        trained.save_pretrained(out)
    rm.pipeline.tokenizer.save_pretrained(out)


def _arguments(recipe: Recipe, checkpoints: Path, *, use_cpu: bool, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=recipe.max_steps,
        per_device_train_batch_size=recipe.batch_pairs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(recipe.warmup_ratio * recipe.max_steps),
        weight_decay=recipe.weight_decay,
        use_cpu=use_cpu,
        save_steps=max(1, recipe.max_steps // 4),
        save_total_limit=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=seed,
        data_seed=seed,
        dataloader_pin_memory=False,
    )


def _on_one_device(arguments: TrainingArguments, device: torch.device) -> TrainingArguments:
    """Train where the RM is: the Trainer itself would take the first GPU, and deal batches out to all there are, in a
    wrapper that knows no rows. Processes started by ``accelerate launch`` keep the devices that it gave them."""
    if arguments.world_size == 1:
        arguments._n_gpu = min(arguments.n_gpu, 1)
        arguments.__dict__["_setup_devices"] = device  # a cached property
        if device.type == "cuda":
            torch.cuda.set_device(device)  # accelerate moves the model to the one in use
    return arguments


def _freeze(model: PreTrainedModel, prefixes: tuple[str, ...]) -> None:
    require_freezable(model, prefixes)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(prefixes))


def require_freezable(model: PreTrainedModel, prefixes: tuple[str, ...]) -> None:
    """Refuse to keep parameters as they are that are not there, or all of them.

    Raises:
        ConfigError: it says what there is.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise ConfigError(
                f"patch.frozen: no parameter's name begins with {prefix!r}; the model has {', '.join(names[:3])}, …"
            )
    if all(name.startswith(prefixes) for name in names):
        raise ConfigError(f"patch.frozen: {', '.join(prefixes)} leave nothing to train")


def require_lora() -> None:
    """Refuse LoRA where its package is not installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise ConfigError("LoRA needs peft: pip install peft") from error


def _with_lora(rm: Trainable, model: PreTrainedModel, rank: int) -> Any:
    require_lora()
    from peft import LoraConfig, get_peft_model

    present = {part for name, _ in model.named_modules() for part in name.split(".")}
    heads = [name for name in ("score", "classifier", "pooler") if name in present]
    heads += [rm.readout.head] if rm.readout.read_at is not None else []
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", modules_to_save=heads, task_type="SEQ_CLS"
    )
    return get_peft_model(model, config)
