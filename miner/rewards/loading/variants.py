"""The shapes that a scalar RM comes in: each says how its model is read, where the reward is, and who asks it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from miner.checkpoints.devices import device_map_of, device_of
from miner.checkpoints.identity import fingerprint
from miner.checkpoints.loading import LoadOptions, read_model
from miner.checkpoints.tensors import Tensor, stored_tensors, tensors_for_heads
from miner.config.reward_model import HeadSection
from miner.errors import ModelError
from miner.rewards.adapters.causal import CausalRewardModel
from miner.rewards.adapters.encoder import EncoderRewardModel
from miner.rewards.adapters.forwarded import ForwardedRewardModel
from miner.rewards.adapters.own_code import OwnCodeRewardModel
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.compute.readout import FIRST, LAST, ReadAt, Readout
from miner.rewards.loading.headed import headed
from miner.rewards.loading.heads import HeadPlan, plan_head, suggestion
from miner.rewards.loading.objectives import labels, weighting_of, with_labels_of_head

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

OWN_CLASSES = ("AutoModelForSequenceClassification", "AutoModel", "AutoModelForCausalLM")


@dataclass(frozen=True, kw_only=True)
class Variant(ABC):
    """A model folder and how to make a reward model of it."""

    folder: Path
    config: PreTrainedConfig
    readout: Readout

    @abstractmethod
    def model(self, options: LoadOptions) -> PreTrainedModel:
        """The whole model.

        Raises:
            ModelError: it cannot be loaded, or a part of it is not trained.
        """

    @abstractmethod
    def is_decoder(self, model: PreTrainedModel) -> bool:
        """Whether texts are chats, in a template, or pairs for an encoder."""

    def adapter(self, model: PreTrainedModel) -> type[TransformerRewardModel]:
        """Who asks the model for rewards."""
        return CausalRewardModel if self.is_decoder(model) else EncoderRewardModel

    @property
    def identity(self) -> str:
        """What the weights, config and code are."""
        return fingerprint(self.folder)

    @property
    def tokenizer_folder(self) -> Path:
        """The folder with the tokenizer."""
        return self.folder

    def tensors(self) -> dict[str, Tensor]:
        """What will lie in memory, by the files' headers."""
        return stored_tensors(self.folder)

    @property
    def head_names(self) -> tuple[str, ...]:
        """Modules of ours that read the reward, beside those that transformers' models have."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Classifier(Variant):
    """What ``AutoModelForSequenceClassification`` loads: one label, or several with a stated weighting."""

    @classmethod
    def of(cls, folder: Path, config: PreTrainedConfig, head: HeadSection) -> Variant:
        config, kinds = with_labels_of_head(config, folder, stored_tensors(folder)), config.architectures or []
        if kinds and not any("SequenceClassification" in kind for kind in kinds) and config.num_labels != 1:
            found = own_code(config) or suggestion(tensors_for_heads(folder), config.get_text_config().hidden_size)
            raise ModelError(
                f"{folder} is a {kinds[0]} without a reward head that transformers knows: a random head gives random "
                f"scores. {found or 'Give a sequence classifier with one label'}"
            )
        n = config.num_labels or 0
        weighting = weighting_of(head.objectives, n, labels(config, n), str(folder))
        return cls(folder=folder, config=config, readout=Readout(weighting=weighting))

    def model(self, options: LoadOptions) -> PreTrainedModel:
        model, missing = read_model("AutoModelForSequenceClassification", self.folder, options, config=self.config)
        if missing:
            named = ", ".join(sorted(missing)[:3])
            found = suggestion(tensors_for_heads(self.folder), self.config.get_text_config().hidden_size)
            raise ModelError(
                f"{self.folder} has no trained weights for {named}: a random head gives random scores. "
                f"{own_code(self.config) or found or 'Train it first'}"
            )
        return model

    def is_decoder(self, model: PreTrainedModel) -> bool:
        del model
        return is_decoder(self.config)

    def adapter(self, model: PreTrainedModel) -> type[TransformerRewardModel]:
        """Only a head that is one module can be shown the one hidden state that it reads."""
        if not self.is_decoder(model):
            return EncoderRewardModel
        return CausalRewardModel if hasattr(model, self.readout.head) else ForwardedRewardModel


@dataclass(frozen=True, kw_only=True)
class HeadFromCheckpoint(Variant):
    """A backbone that ``AutoModel`` loads and a head of another name beside it in the checkpoint."""

    plan: HeadPlan

    @classmethod
    def of(cls, folder: Path, config: PreTrainedConfig, head: HeadSection) -> HeadFromCheckpoint:
        plan = plan_head(
            tensors_for_heads(folder),
            str(head.weights),
            hidden=config.get_text_config().hidden_size,
            activation=head.activation,
            folder=folder,
        )
        read_at = ReadAt.parse(head.read_at or (LAST if is_decoder(config) else FIRST))
        weighting = weighting_of(head.objectives, plan.n_outputs, labels(config, plan.n_outputs), str(folder))
        readout = Readout(head=plan.prefix, activation=plan.activation, read_at=read_at, weighting=weighting)
        return cls(folder=folder, config=config, readout=readout, plan=plan)

    def model(self, options: LoadOptions) -> PreTrainedModel:
        backbone = self._backbone(options)
        places = [place for place in device_map_of(backbone).values() if place is not None]
        head = self.plan.build(self._head_folder).to(places[-1] if places else device_of(backbone), backbone.dtype)
        assert self.readout.read_at is not None
        model = headed(backbone, head, name=self.plan.prefix, read_at=self.readout.read_at)
        model.eval().requires_grad_(False)
        return model

    @property
    def _head_folder(self) -> Path:
        return self.folder

    def _backbone(self, options: LoadOptions) -> PreTrainedModel:
        backbone, missing = read_model("AutoModel", self.folder, options, config=self.config)
        if missing and (prefix := self._prefix(missing)):
            renamed = {f"^{re.escape(prefix)}": ""}
            backbone, missing = read_model("AutoModel", self.folder, options, config=self.config, renamed=renamed)
        if untrained := sorted(name for name in missing if not name.startswith("pooler.")):  # no head reads the pooler
            raise ModelError(
                f"{self.folder} has no trained weights for {', '.join(untrained[:3])} of its backbone, a "
                f"{type(backbone).__name__}: is config.json of the same model?"
            )
        return backbone

    def _prefix(self, missing: set[str]) -> str | None:
        """What the checkpoint puts before the backbone's names, where that is not what its family does."""
        stored = stored_tensors(self.folder)
        ends = (name.removesuffix(lacking) for lacking in missing for name in stored if name.endswith(f".{lacking}"))
        return next(ends, None)

    def is_decoder(self, model: PreTrainedModel) -> bool:
        del model
        return self.is_decoder_by_config

    @property
    def is_decoder_by_config(self) -> bool:
        return is_decoder(self.config)

    def adapter(self, model: PreTrainedModel) -> type[TransformerRewardModel]:
        """A decoder's mean is over all its tokens: nothing there can be shared or cut short."""
        place = self.readout.read_at
        return CausalRewardModel if self.is_decoder(model) and place and place.is_one_token else EncoderRewardModel

    @property
    def head_names(self) -> tuple[str, ...]:
        return (self.plan.prefix,)


@dataclass(frozen=True, kw_only=True)
class RemoteCodeModel(Variant):
    """A model whose class lies in Python files beside its weights."""

    auto_class: str

    @classmethod
    def of(cls, folder: Path, config: PreTrainedConfig, head: HeadSection) -> RemoteCodeModel:
        mapped = getattr(config, "auto_map", None) or {}
        auto_class = next((name for name in OWN_CLASSES if name in mapped), None)
        if auto_class is None:
            raise ModelError(
                f"the code of {folder} is for {', '.join(mapped)}; expected a class for {' or '.join(OWN_CLASSES)}. "
                "Name its head instead: --set rm.head.weights=…"
            )
        weighting = None
        if head.objectives is not None:
            n = (config.num_labels or 0) if isinstance(head.objectives, Mapping) else len(head.objectives)
            weighting = weighting_of(head.objectives, n, labels(config, n), str(folder))
        return cls(
            folder=folder,
            config=config,
            readout=Readout(output=head.output, weighting=weighting),
            auto_class=auto_class,
        )

    def model(self, options: LoadOptions) -> PreTrainedModel:
        model, missing = read_model(self.auto_class, self.folder, options)
        if missing:
            raise ModelError(
                f"{self.folder} has no trained weights for {', '.join(sorted(missing)[:3])}, which its own code wants: "
                "random weights give random scores"
            )
        return model

    def is_decoder(self, model: PreTrainedModel) -> bool:
        del model
        return is_decoder(self.config)

    def adapter(self, model: PreTrainedModel) -> type[TransformerRewardModel]:
        del model
        return OwnCodeRewardModel


def own_code(config: PreTrainedConfig) -> str | None:
    """A hint where the model brings code of its own."""
    mapped = getattr(config, "auto_map", None)
    return "It brings its own code. Try: --set rm.trust_remote_code=true" if mapped else None


def is_decoder(config: PreTrainedConfig) -> bool:
    """Whether an architecture reads from left to right, and its reward at the last token: what its name, class and
    config in transformers say, never what its head is called.

    Those that are pretrained by masking do not, nor do encoder-decoders. What transformers does not know is taken for a
    decoder, as RMs that bring their own code are.
    """
    import transformers
    from transformers.modeling_layers import GenericForSequenceClassification
    from transformers.models.auto import modeling_auto as auto

    kind = config.model_type
    if kind in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES or getattr(config, "is_encoder_decoder", False):
        return False
    classifier = auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.get(kind)
    if classifier is None or kind in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return True
    return issubclass(getattr(transformers, str(classifier)), GenericForSequenceClassification)
