"""Loads a reward model from a folder or a hub, and refuses what would give meaningless scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import ValidationError

from corpus.records import digest
from miner.checkpoints.adapters import CONFIG, is_adapter, lies_beside_weights
from miner.checkpoints.batching import TokenBudget
from miner.checkpoints.devices import BATCH_TOKENS, device_of, resolve_devices
from miner.checkpoints.folders import require_safetensors, resolve_folder
from miner.checkpoints.loading import HEADS, LoadOptions, read_config, with_fp32_head
from miner.checkpoints.memory import copies, require_room
from miner.checkpoints.own_code_consent import agree_to_code, code_files, has_code
from miner.checkpoints.precision import choose, dtype_of
from miner.checkpoints.quantised import comes_quantised, quantisation, quantised_to_int8
from miner.checkpoints.tensors import stored_dtype
from miner.checkpoints.tokenizers import length_limit, load_tokenizer
from miner.config.reward_model import DType, RewardModelSection
from miner.errors import ModelError
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.compute.fleet import Fleet
from miner.rewards.compute.forward import input_embeddings
from miner.rewards.loading.adapted import on_base
from miner.rewards.loading.alike import plain_rewards, require_alike
from miner.rewards.loading.covered import DECODERS, ENCODERS
from miner.rewards.loading.variants import Classifier, HeadFromCheckpoint, RemoteCodeModel, Variant
from miner.rewards.text.pipeline import ChatPipeline, TextPairPipeline, Truncation
from miner.rewards.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["load_reward_model", "open_classifier"]


def load_reward_model(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: DType = "auto",
    confirm_dtype: Literal["float32", "native"] = "float32",
    revision: str | None = None,
    trust_remote_code: bool = False,
    max_length: int | None = None,
    truncation: Truncation = "error",
    ascii_only: bool = False,
    batch_tokens: int | None = None,
) -> TransformerRewardModel:
    """``open_classifier`` for those who have no campaign file; errors as there."""
    resolve_devices(device)
    if dtype != "auto":
        dtype_of(dtype)
    try:
        section = RewardModelSection(
            source=str(source), device=device, dtype=dtype, confirm_dtype=confirm_dtype, revision=revision,
            trust_remote_code=trust_remote_code, max_length=max_length, truncation=truncation, ascii_only=ascii_only,
        )  # fmt: skip
    except ValidationError as error:
        problem = error.errors()[0]
        raise ModelError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}; got {problem['input']!r}") from error
    return open_classifier(section, batch_tokens=batch_tokens)


def open_classifier(section: RewardModelSection, *, batch_tokens: int | None = None) -> TransformerRewardModel:
    """The scalar RM that ``section`` describes, from safetensors. Several devices, by commas, get a replica each.

    ``reward`` is in fp32, whatever the weights are stored in; for a model that does not fit so, ask for
    ``confirm_dtype="native"``: the stored dtype, which then is the row's ``reward_dtype``.

    Raises:
        ModelError: no such model, no head or one that does not fit, several labels without a weighting, an untrained
            head, no fast tokenizer, pickled weights only, a device that is not here, a length the model cannot take.
    """
    source = str(section.source)
    devices = resolve_devices(section.device)
    if section.device_map is not None and (len(devices) > 1 or section.quantise):
        other = "rm.quantise" if section.quantise else f"--device {section.device}"
        raise ModelError(f"rm.device_map spreads one copy, {other} asks for another: drop one of them")
    variant = _variant(resolve_folder(source, section.revision), section)

    def replica(device: torch.device) -> TransformerRewardModel:
        return _replica(variant, section, device, batch_tokens)

    first, *others = map(replica, devices)
    if others:
        first.fleet = Fleet([first, *others])
    return first


def _variant(folder: Path, section: RewardModelSection) -> Variant:
    if is_adapter(folder) or _applies_adapter(folder, section):
        return on_base(folder, section)
    if section.trust_remote_code:
        agree_to_code(folder, section.code_hash)
    require_safetensors(folder)
    config = read_config(folder, section.trust_remote_code, section.head.backbone)
    if section.head.weights is not None:
        return HeadFromCheckpoint.of(folder, config, section.head)
    if section.trust_remote_code and has_code(folder):
        return RemoteCodeModel.of(folder, config, section.head)
    if section.head.output is not None:
        hint = "Try: --set rm.trust_remote_code=true" if has_code(folder) else "This folder has none: drop it"
        raise ModelError(f"rm.head.output={section.head.output!r} is for models that bring their own code. {hint}")
    return Classifier.of(folder, config, section.head)


def _applies_adapter(folder: Path, section: RewardModelSection) -> bool:
    """Whether an adapter that lies beside whole weights is to be merged into them.

    Raises:
        ModelError: there is one and nobody said.
    """
    if not lies_beside_weights(folder):
        return False
    if section.adapter is None:
        raise ModelError(
            f"{folder} holds {CONFIG} beside model.safetensors, which may be merged with it already. Say so: "
            "--set rm.adapter=merged (it is left out), or --set rm.adapter=apply"
        )
    return section.adapter == "apply"


def _replica(
    variant: Variant, section: RewardModelSection, device: torch.device, batch_tokens: int | None
) -> TransformerRewardModel:
    tokenizer, identity = _tokenizer(variant, section)
    model, ranking = _copies(variant, section, device)
    pipeline = (ChatPipeline if variant.is_decoder(model) else TextPairPipeline)(
        tokenizer=tokenizer,
        max_length=length_limit(model, tokenizer, section.max_length),
        truncation=section.truncation,
        append=_appended(tokenizer, section.head.append_token),
        today=section.today,
    )
    embedding: Any = input_embeddings(model)
    n_tokens = len(tokenizer if embedding is None else embedding.weight)
    rm = variant.adapter(model)(
        name=Path(str(section.source)).name,
        fingerprint=identity,
        model=model,
        ranking_model=ranking,
        pipeline=pipeline,
        vocabulary=Vocabulary.of(tokenizer, n_tokens, ascii_only=section.ascii_only),
        budget=TokenBudget(batch_tokens or BATCH_TOKENS[device_of(model).type]),
        readout=variant.readout,
    )
    plain = plain_rewards(
        model,
        pipeline,
        lambda output, _: rm.readout.of_output(output, n_rows=1)[0],
        covered=DECODERS if rm.is_causal else ENCODERS,
        with_types=not rm.is_causal,
    )
    require_alike(rm, plain)
    return rm


def _tokenizer(variant: Variant, section: RewardModelSection) -> tuple[PreTrainedTokenizerFast, str]:
    """The tokenizer with the template asked for, and the fingerprint of the model with it."""
    folder = variant.tokenizer_folder if section.tokenizer is None else resolve_folder(section.tokenizer, None)
    if section.tokenizer is not None and section.trust_remote_code and code_files(folder):
        raise ModelError(
            f"{folder} brings code of its own, which rm.code_hash does not cover. Give a tokenizer without: a "
            "tokenizer.json is enough"
        )
    tokenizer, identity = load_tokenizer(folder, section.trust_remote_code), variant.identity
    if section.tokenizer is not None:
        identity = digest([identity, tokenizer.backend_tokenizer.to_str()])
    if section.template is not None:
        tokenizer.chat_template = section.template
    return tokenizer, identity


def _copies(
    variant: Variant, section: RewardModelSection, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The copy that confirms and the one that ranks: the same where the model is spread or comes quantised."""
    tensors = variant.tensors()
    ranks_in = choose("ranking", device, section.dtype, stored=stored_dtype(tensors))
    is_spread, as_stored = section.device_map is not None, comes_quantised(variant.config)
    if not is_spread:
        exact = "native" if as_stored else section.confirm_dtype
        ranking_name = section.quantise or ranks_in.name
        require_room(tensors, copies(exact, ranking_name, tensors, single=as_stored), device)

    def loaded(dtype: torch.dtype | Literal["auto"]) -> PreTrainedModel:
        return variant.model(
            LoadOptions(
                device=device,
                dtype=dtype,
                attention=section.attention,
                trust_remote_code=section.trust_remote_code,
                device_map=section.device_map,
                offload_folder=section.offload_folder,
            )
        )

    model = loaded(torch.float32 if section.confirm_dtype == "float32" else "auto")
    if model.dtype != torch.float32 and quantisation(model) is None:
        model = with_fp32_head(model, *variant.head_names)
    if is_spread or as_stored or (model.dtype == ranks_in.dtype and not section.quantise):
        return model, model
    ranking = loaded(ranks_in.dtype)
    if section.quantise:
        ranking = quantised_to_int8(ranking, kept=(*HEADS, *variant.head_names))
    return model, with_fp32_head(ranking, *variant.head_names)


def _appended(tokenizer: PreTrainedTokenizerFast, token: int | str | None) -> int | None:
    """The id of the token that ends every text.

    Raises:
        ModelError: the tokenizer has no such token.
    """
    if token is None:
        return None
    known = tokenizer.get_vocab()
    if isinstance(token, str) and token in known:
        return known[token]
    if isinstance(token, int) and token in known.values():
        return token
    raise ModelError(
        f"rm.head.append_token={token!r} is no token of this model. Give one of its tokenizer, by text or by id"
    )
