"""A LoRA adapter on its base, merged into one model: it scores and trains like any other afterwards."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from corpus.records import digest
from miner.checkpoints.folders import first_line, has_tokenizer, require_safetensors, resolve_folder
from miner.checkpoints.identity import fingerprint
from miner.checkpoints.loading import UNREADABLE, Residence, quiet_transformers, read_config, read_model
from miner.checkpoints.tensors import Tensor, stored_tensors
from miner.config.reward_model import RewardModelSection
from miner.errors import ModelError
from miner.rewards.compute.readout import Readout
from miner.rewards.loading.objectives import labels, weighting_of
from miner.rewards.loading.variants import Classifier

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG = "adapter_config.json"
HEADS = ("score", "classifier")  # the heads of transformers' sequence classifiers
SAVED_UNDER = "base_model.model."  # what peft puts before every name


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / CONFIG).exists() and not any(folder.glob("model*.safetensors"))


@dataclass(frozen=True, kw_only=True)
class Adapted(Classifier):
    """A sequence classifier whose ``folder`` is the base and whose changes, its head perhaps, are in ``changes``."""

    changes: Path
    brings_head: bool

    @classmethod
    def on_base(cls, adapter: Path, section: RewardModelSection) -> Adapted:
        """The adapter on the base that the section names, or its own config.

        Raises:
            ModelError: no peft, no base, no head in either, or settings that adapters do not go with.
        """
        if section.head.weights is not None or section.device_map is not None:
            raise ModelError(
                f"{adapter} is a LoRA adapter, which goes with neither rm.head.weights nor rm.device_map. "
                "Merge it into its base first: merge_and_unload, save_pretrained"
            )
        require_safetensors(adapter)
        base = _base(adapter, section)
        stored = stored_tensors(adapter)
        heads = [t for name, t in stored.items() if _module(name) in HEADS and name.endswith(".weight")]
        config = read_config(base, trust_remote_code=False)
        if heads:
            config.num_labels = heads[-1].shape[0]
        elif not any("SequenceClassification" in kind for kind in config.architectures or []):
            raise ModelError(
                f"neither {adapter} nor its base {base} holds a reward head: a random head gives random scores. "
                'Train the adapter with modules_to_save=["score"]'
            )
        n = config.num_labels or 0
        weighting = weighting_of(section.head.objectives, n, labels(config, n), str(adapter))
        return cls(
            folder=base, config=config, readout=Readout(weighting=weighting), changes=adapter, brings_head=bool(heads)
        )

    def model(self, residence: Residence) -> PreTrainedModel:
        """The merged model. What ranks in low precision is merged in fp32 first."""
        exact = residence.dtype if residence.dtype == "auto" else torch.float32
        in_full = replace(residence, dtype=exact)
        base, missing = read_model("AutoModelForSequenceClassification", self.folder, in_full, config=self.config)
        if untrained := sorted(name for name in missing if not (self.brings_head and name.split(".")[0] in HEADS)):
            raise ModelError(
                f"the base {self.folder} has no trained weights for {', '.join(untrained[:3])}, nor has the adapter"
            )
        merged: Any = _merged(base, self.changes)
        if isinstance(residence.dtype, torch.dtype):
            merged = merged.to(dtype=residence.dtype)
        whole: PreTrainedModel = merged.eval().requires_grad_(False)
        return whole

    @property
    def identity(self) -> str:
        return digest([fingerprint(self.folder), fingerprint(self.changes)])

    @property
    def beside(self) -> Path:
        return self.changes if has_tokenizer(self.changes) else self.folder

    def tensors(self) -> dict[str, Tensor]:
        return stored_tensors(self.folder) | stored_tensors(self.changes)


def _base(adapter: Path, section: RewardModelSection) -> Path:
    try:
        told: dict[str, Any] = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
        named, revision = told.get("base_model_name_or_path"), told.get("revision")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{adapter / CONFIG} is damaged: {first_line(error)}. Save the adapter again") from error
    base = section.base or named
    if not base:
        raise ModelError(f"{adapter} is a LoRA adapter and names no base. Give it: --set rm.base=FOLDER")
    try:
        return resolve_folder(str(base), None if section.base else revision)
    except ModelError as error:
        raise ModelError(
            f"{adapter} is a LoRA adapter without its base {base!r}: {error}. Give it: --set rm.base=FOLDER"
        ) from error


def _merged(base: PreTrainedModel, adapter: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError("a LoRA adapter needs peft: pip install 'rmminer[lora]'") from error
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft's, at transformers
            warnings.filterwarnings("error", message=".*missing adapter keys.*")
            return PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    except (*UNREADABLE, UserWarning) as error:
        raise ModelError(
            f"the LoRA adapter {adapter} does not fit its base: {first_line(error)}. Give the one that it was trained "
            "on: --set rm.base=FOLDER"
        ) from error


def _module(name: str) -> str:
    return name.removeprefix(SAVED_UNDER).rpartition(".")[0].split(".")[0]
