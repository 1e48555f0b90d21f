"""A LoRA adapter on its base, merged into one model: it scores and trains like any other afterwards."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from corpus.records import digest
from miner.checkpoints.adapters import CONFIG, lies_beside_weights, require_no_adapter
from miner.checkpoints.folders import first_line, has_tokenizer, require_safetensors, resolve_folder
from miner.checkpoints.identity import fingerprint
from miner.checkpoints.loading import UNREADABLE, LoadOptions, quiet_transformers, read_config, read_model
from miner.checkpoints.tensors import Tensor, stored_tensors, tensors_for_heads
from miner.config.reward_model import RewardModelSection
from miner.errors import ModelError
from miner.rewards.compute.readout import LAST, ReadAt, Readout
from miner.rewards.loading.heads import plan_head, read_tensors, suggestion
from miner.rewards.loading.objectives import LAST_LAYERS, labels, weighting_of, with_labels_of_head
from miner.rewards.loading.variants import Classifier, HeadFromCheckpoint, Variant

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TRAIN_THE_HEAD = 'Train the adapter with modules_to_save=["score"]'
SAVED_UNDER = "base_model.model."  # what peft puts before every name


@dataclass(frozen=True, kw_only=True)
class _Changed(Variant):
    """A model whose ``folder`` is the base and whose changes, its head perhaps, are in ``changes``."""

    changes: Path

    @property
    def identity(self) -> str:
        if self.changes == self.folder:
            return digest([fingerprint(self.folder), "adapter applied"])
        return digest([fingerprint(self.folder), fingerprint(self.changes)])

    @property
    def tokenizer_folder(self) -> Path:
        return self.changes if has_tokenizer(self.changes) else self.folder

    def tensors(self) -> dict[str, Tensor]:
        return stored_tensors(self.folder) | stored_tensors(self.changes)


@dataclass(frozen=True, kw_only=True)
class LoraAdapter(_Changed, Classifier):
    """A sequence classifier: its head is the base's, or saved whole with the adapter."""

    def model(self, options: LoadOptions) -> PreTrainedModel:
        """The merged model. What ranks in low precision is merged in fp32 first."""
        base, missing = read_model("AutoModelForSequenceClassification", self.folder, _exact(options),
                                   config=self.config)  # fmt: skip
        brought = _whole_tensors(self.changes)
        if untrained := sorted(missing - set(brought)):
            raise ModelError(
                f"neither the base {self.folder} nor the adapter has trained weights for {', '.join(untrained[:3])}: a "
                f"random head gives random scores, whatever LoRA was trained on top of it. {TRAIN_THE_HEAD}"
            )
        merged = _merged(base, self.changes)
        _require_brought(merged, missing, self.changes)
        return _finished(merged, options)


@dataclass(frozen=True, kw_only=True)
class LoraHeadFromCheckpoint(_Changed, HeadFromCheckpoint):
    """A language model with an adapter, and a value head in a file beside the adapter or in the base."""

    @property
    def _head_folder(self) -> Path:
        held = tensors_for_heads(self.changes)
        return self.changes if any(name.startswith(f"{self.plan.prefix}.") for name in held) else self.folder

    def _backbone(self, options: LoadOptions) -> PreTrainedModel:
        whole = "AutoModelForCausalLM" if self.is_decoder_by_config else "AutoModel"
        base, missing = read_model(whole, self.folder, _exact(options), config=self.config)
        inside = f"{base.base_model_prefix}." if base.base_model is not base else ""
        if untrained := sorted(name for name in missing if name.startswith(inside) and "pooler." not in name):
            raise ModelError(f"the base {self.folder} has no trained weights for {', '.join(untrained[:3])}")
        return cast("PreTrainedModel", _finished(_merged(base, self.changes), options).base_model)


def on_base(adapter: Path, section: RewardModelSection) -> Variant:
    """The adapter on the base that the section names, its own config does, or that lies in the same folder.

    Raises:
        ModelError: no peft, no base, no head in either, or settings that adapters do not go with.
    """
    if section.device_map is not None:
        raise ModelError(
            f"{adapter} is a LoRA adapter, which does not go with rm.device_map. "
            "Merge it into its base first: merge_and_unload, save_pretrained"
        )
    require_safetensors(adapter)
    base = _base(adapter, section)
    head, config = section.head, read_config(base, False, section.head.backbone)
    hidden = config.get_text_config().hidden_size
    held = tensors_for_heads(base) | {
        name: tensor for name, tensor in tensors_for_heads(adapter).items() if not name.startswith(SAVED_UNDER)
    }
    if head.weights is not None:
        plan = plan_head(held, head.weights, hidden=hidden, activation=head.activation, folder=adapter)
        read_at = ReadAt.parse(head.read_at or LAST)
        weighting = weighting_of(head.objectives, plan.n_outputs, labels(config, plan.n_outputs), str(adapter))
        readout = Readout(head=plan.prefix, activation=plan.activation, read_at=read_at, weighting=weighting)
        return LoraHeadFromCheckpoint(folder=base, config=config, readout=readout, plan=plan, changes=adapter)
    brought = _whole_tensors(adapter)
    last = next((brought[name] for name in LAST_LAYERS if name in brought), None)
    if last is not None:
        config.num_labels = last.shape[0]
    elif not any("SequenceClassification" in kind for kind in config.architectures or []):
        raise ModelError(
            f"neither {adapter} nor its base {base} holds a reward head: a random head gives random scores. "
            f"{suggestion(held, hidden) or TRAIN_THE_HEAD}"
        )
    else:
        config = with_labels_of_head(config, base, stored_tensors(base))
    n = config.num_labels or 0
    weighting = weighting_of(head.objectives, n, labels(config, n), str(adapter))
    return LoraAdapter(folder=base, config=config, readout=Readout(weighting=weighting), changes=adapter)


def _base(adapter: Path, section: RewardModelSection) -> Path:
    if lies_beside_weights(adapter):
        return adapter
    try:
        told: dict[str, Any] = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
        named, revision = told.get("base_model_name_or_path"), told.get("revision")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{adapter / CONFIG} is damaged: {first_line(error)}. Save the adapter again") from error
    base = section.base or named
    if not base:
        raise ModelError(f"{adapter} is a LoRA adapter and names no base. Give it: --set rm.base=FOLDER")
    try:
        found = resolve_folder(str(base), None if section.base else revision)
    except ModelError as error:
        raise ModelError(
            f"{adapter} is a LoRA adapter without its base {base!r}: {error}. Give it: --set rm.base=FOLDER"
        ) from error
    require_no_adapter(found)
    return found


def _exact(options: LoadOptions) -> LoadOptions:
    return replace(options, dtype=options.dtype if options.dtype == "auto" else torch.float32)


def _finished(merged: Any, options: LoadOptions) -> PreTrainedModel:
    if isinstance(options.dtype, torch.dtype):
        merged = merged.to(dtype=options.dtype)
    whole: PreTrainedModel = merged.eval().requires_grad_(False)
    return whole


def _whole_tensors(adapter: Path) -> Mapping[str, Tensor]:
    """The weights that an adapter brings whole (``modules_to_save``), by their names in the model. LoRA's are none."""
    stored = stored_tensors(adapter)
    return {name.removeprefix(SAVED_UNDER): tensor for name, tensor in stored.items() if ".lora_" not in name}


def _require_brought(merged: Any, names: set[str], adapter: Path) -> None:
    """Refuse an adapter whose own config keeps peft from reading the weights that the base lacks.

    Raises:
        ModelError: it does.
    """
    for name in sorted(names):
        stored = read_tensors(adapter, SAVED_UNDER + name)[SAVED_UNDER + name]
        loaded = merged.get_parameter(name).detach()
        if not torch.equal(loaded.cpu().float(), stored.to(loaded.dtype).float()):
            raise ModelError(
                f"{adapter} holds {name}, which its {CONFIG} keeps peft from reading: a random head gives random "
                "scores. Name it there under modules_to_save"
            )


def _merged(base: PreTrainedModel, adapter: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError("a LoRA adapter needs peft: pip install peft") from error
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft's, at transformers
            warnings.filterwarnings("error", message=".*missing adapter keys.*")
            return PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    except UNREADABLE as error:
        said = first_line(error)
        if "size mismatch" in said and "embed" in said:
            fix = "It was trained on a resized vocabulary: resize_token_embeddings on the base, save that, and give it"
        else:
            fix = "Give the one that it was trained on"
        raise ModelError(f"the LoRA adapter {adapter} does not fit its base: {said}. {fix}: --set rm.base=FOLDER"
                         ) from error  # fmt: skip
