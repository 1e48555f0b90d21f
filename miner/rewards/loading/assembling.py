"""Loads the models behind RMs that are no scalar classifiers: the same care as ``loading``, other auto classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from miner.checkpoints.adapters import left_alone, require_no_adapter
from miner.checkpoints.batching import TokenBudget
from miner.checkpoints.devices import BATCH_TOKENS, resolve_devices
from miner.checkpoints.folders import first_line, require_safetensors, resolve_folder
from miner.checkpoints.identity import fingerprint
from miner.checkpoints.loading import UNREADABLE, hint, quiet_transformers, read_config, to_device
from miner.checkpoints.memory import copies, require_room
from miner.checkpoints.own_code_consent import agree_to_code
from miner.checkpoints.precision import choose
from miner.checkpoints.tensors import stored_dtype, stored_tensors
from miner.checkpoints.tokenizers import length_limit, load_tokenizer
from miner.config.reward_model import RewardModelSection
from miner.errors import ModelError
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.compute.fleet import Fleet
from miner.rewards.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True, kw_only=True)
class Parts:
    """One replica's model and what goes around it."""

    name: str
    folder: Path
    section: RewardModelSection
    tokenizer: PreTrainedTokenizerFast
    model: PreTrainedModel
    ranking_model: PreTrainedModel

    @property
    def models(self) -> list[PreTrainedModel]:
        """The confirming model and the ranking one, or both in one."""
        return [self.model] if self.model is self.ranking_model else [self.model, self.ranking_model]

    @property
    def max_length(self) -> int | None:
        """Tokens an input may have.

        Raises:
            ModelError: more were asked for than the model takes.
        """
        return length_limit(self.model, self.tokenizer, self.section.max_length)

    def fields(self) -> dict[str, Any]:
        """What every transformer RM is built from, beside its pipeline."""
        embedding: Any = self.model.get_input_embeddings()
        return {
            "name": self.name,
            "fingerprint": fingerprint(self.folder),
            "model": self.model,
            "ranking_model": self.ranking_model,
            "vocabulary": Vocabulary.of(self.tokenizer, len(embedding.weight), ascii_only=self.section.ascii_only),
            "budget": TokenBudget(BATCH_TOKENS[self.model.device.type]),
        }


def assemble(
    section: RewardModelSection,
    source: str,
    auto_of: Callable[[PreTrainedConfig], Any],
    build: Callable[[Parts], TransformerRewardModel],
) -> TransformerRewardModel:
    """The RM that ``build`` makes of a model loaded by the class that ``auto_of`` picks from its config.

    Raises:
        ModelError: no such model, missing weights, no fast tokenizer, pickled weights only, a device that is not here;
            whatever ``auto_of`` and ``build`` refuse.
    """
    devices = resolve_devices(section.device)
    folder = resolve_folder(source, section.revision if source == section.source else None)
    if section.trust_remote_code:
        agree_to_code(folder, section.code_hash)
    require_safetensors(folder)
    auto = auto_of(read_config(folder, section.trust_remote_code))
    require_no_adapter(folder)
    tensors = stored_tensors(folder)
    exact: torch.dtype | Literal["auto"] = torch.float32 if section.confirm_dtype == "float32" else "auto"

    def replica(device: torch.device) -> TransformerRewardModel:
        tokenizer = load_tokenizer(folder, section.trust_remote_code)
        ranks_in = choose("ranking", device, section.dtype, stored=stored_dtype(tensors))
        require_room(tensors, copies(section.confirm_dtype, ranks_in.name, tensors), device)
        model = _load(auto, folder, exact, device, section)
        ranking = model if model.dtype == ranks_in.dtype else _load(auto, folder, ranks_in.dtype, device, section)
        return build(
            Parts(
                name=Path(source).name,
                folder=folder,
                section=section,
                tokenizer=tokenizer,
                model=model,
                ranking_model=ranking,
            )
        )

    first, *others = map(replica, devices)
    if others:
        first.fleet = Fleet([first, *others])
    return first


def auto_class(config: PreTrainedConfig, autos: Sequence[str]) -> Any:
    """The first of transformers' auto classes ``autos`` that the config's architecture was saved from.

    Raises:
        ModelError: none of them.
    """
    import transformers

    kinds = config.architectures or []
    for name in autos:
        suffixes = _SUFFIXES[name]
        if any(kind.endswith(suffix) for kind in kinds for suffix in suffixes):
            return getattr(transformers, name)
    expected = " or ".join(suffix for name in autos for suffix in _SUFFIXES[name])
    raise ModelError(
        f"the model is a {', '.join(kinds) or 'model of no named architecture'}; expected one that ends in {expected}. "
        "Check the [rm] table against the model's card"
    )


_SUFFIXES = {
    "AutoModelForCausalLM": ("ForCausalLM", "LMHeadModel"),
    "AutoModelForSeq2SeqLM": ("ForConditionalGeneration",),
    "AutoModelForSequenceClassification": ("ForSequenceClassification",),
    "AutoModelForTokenClassification": ("ForTokenClassification",),
    "AutoModel": ("RewardModel",),
}


def _load(
    auto: Any, folder: Path, dtype: torch.dtype | Literal["auto"], device: torch.device, section: RewardModelSection
) -> PreTrainedModel:
    extra: dict[str, Any] = {"trust_remote_code": section.trust_remote_code} if auto.__name__.startswith("Auto") else {}
    extra |= {} if section.attention is None else {"attn_implementation": section.attention}
    try:
        with quiet_transformers(), left_alone():
            model, info = auto.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **extra
            )
    except UNREADABLE as error:
        said = f"{first_line(error).rstrip('.')}{hint(error)}"
        raise ModelError(f"cannot load {folder} as a {auto.__name__}: {said}") from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(
            f"{folder} has no trained weights for {missing}: a random head gives random scores. Train it first"
        )
    model.eval().requires_grad_(False)
    return to_device(model, device)
