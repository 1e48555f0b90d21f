"""Public reward models and what each needs: settings that stand until the campaign file says otherwise.

``origin`` says how an entry is known: "code", its head, pooling and texts were read in public code that scores with it;
"memory", they are as we remember its model card. No test here loads a published weight: each entry is tried on a tiny
random-weight copy of its architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

PROMPTER = (
    "{% for m in messages %}{{ '<|assistant|>' if m['role'] == 'assistant' else '<|prompter|>' }}{{ m['content'] }}"
    "{{ eos_token }}{% endfor %}"
)
BEAVER = (
    "{{ bos_token }}BEGINNING OF CONVERSATION: {% for m in messages %}{% if m['role'] == 'assistant' %}ASSISTANT:"
    "{{ m['content'] }}{{ eos_token }}{% else %}USER: {{ m['content'] }} {% endif %}{% endfor %}"
)
STARLING = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %} {{ m['content'] }}{{ eos_token }}"
    "{% else %}[INST] {{ m['content'] }} {{ eos_token }} [/INST]{% endif %}{% endfor %}"
)
HUMAN = (
    "{{ bos_token }}{% for m in messages %}{{ 'Assistant' if m['role'] == 'assistant' else 'Human' }}: "
    "{{ m['content'] }}{% if not loop.last %}\n\n{% endif %}{% endfor %}"
)
STEAM_SHP = "POST: {prompt}\n\nRESPONSE A: {a}\n\nRESPONSE B: {b}\n\nWhich response is better? RESPONSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A family of published RMs that need the same. ``settings`` is a fragment of the campaign file's ``[rm]``."""

    family: str
    models: tuple[str, ...]
    note: str
    origin: Literal["code", "memory"]
    settings: Mapping[str, Any] = field(default_factory=dict)


KNOWN: tuple[Known, ...] = (
    Known(
        family="Skywork V2 on Qwen3",
        models=tuple(f"Skywork/Skywork-Reward-V2-Qwen3-{size}" for size in ("0.6B", "1.7B", "4B", "8B")),
        note="one label; no BOS; trained without system prompts",
        origin="memory",
    ),
    Known(
        family="Skywork V2 on Llama",
        models=(
            "Skywork/Skywork-Reward-V2-Llama-3.2-1B",
            "Skywork/Skywork-Reward-V2-Llama-3.2-3B",
            "Skywork/Skywork-Reward-V2-Llama-3.1-8B",
            "Skywork/Skywork-Reward-V2-Llama-3.1-8B-40M",
        ),
        note="one label; the template writes the BOS, which is not added again; trained without system prompts",
        origin="memory",
    ),
    Known(
        family="Skywork V1 on Gemma 2",
        models=("Skywork/Skywork-Reward-Gemma-2-27B", "Skywork/Skywork-Reward-Gemma-2-27B-v0.2"),
        note="eager attention: SDPA leaves out the soft cap on attention scores; the template refuses system prompts",
        origin="code",
        settings={"attention": "eager"},
    ),
    Known(
        family="ArmoRM",
        models=("RLHFlow/ArmoRM-Llama3-8B-v0.1",),
        note="own code (trust_remote_code is left to you); 19 objectives, gated into one score",
        origin="code",
        settings={"head": {"output": "score"}},
    ),
    Known(
        family="QRM",
        models=("nicolinho/QRM-Llama3.1-8B", "nicolinho/QRM-Llama3.1-8B-v2", "nicolinho/QRM-Llama3-8B"),
        note="own code (trust_remote_code is left to you); its gate looks for the template's own tokens",
        origin="code",
        settings={"head": {"output": "score"}},
    ),
    Known(
        family="URM",
        models=("LxzGordon/URM-LLaMa-3.1-8B", "LxzGordon/URM-LLaMa-3-8B"),
        note="own code (trust_remote_code is left to you); attributes weighed by it into one logit",
        origin="memory",
        settings={"head": {"output": "logits"}},
    ),
    Known(
        family="InternLM2 reward",
        models=tuple(f"internlm/internlm2-{size}-reward" for size in ("1_8b", "7b", "20b")),
        note="own code (trust_remote_code is left to you); the reward is read at a token of its own at the end",
        origin="code",
        settings={"head": {"output": "logits", "append_token": "[UNUSED_TOKEN_130]"}},
    ),
    Known(
        family="GRM with a value head",
        models=(
            "Ray2333/GRM-llama3-8B-sftreg",
            "Ray2333/GRM-llama3.2-3B-sftreg",
            "Ray2333/GRM-Gemma-2B-sftreg",
            "Ray2333/GRM-Gemma2-2B-sftreg",
        ),
        note="two layers with a ReLU between them, read at the last token",
        origin="code",
        settings={"head": {"weights": "v_head.summary", "activation": "relu", "read_at": "last"}},
    ),
    Known(
        family="GRM fine-tuned",
        models=(
            "Ray2333/GRM-Llama3-8B-rewardmodel-ft",
            "Ray2333/GRM-Llama3.2-3B-rewardmodel-ft",
            "Ray2333/GRM-Gemma-2B-rewardmodel-ft",
        ),
        note="one label",
        origin="code",
    ),
    Known(
        family="Starling",
        models=("berkeley-nest/Starling-RM-7B-alpha",),
        note="pickled and without a config: load it in a Llama 2 7B, save_pretrained, then rm.like = this id",
        origin="code",
        settings={"head": {"weights": "v_head", "read_at": "last"}, "template": STARLING},
    ),
    Known(
        family="Starling on Yi",
        models=("Nexusflow/Starling-RM-34B",),
        note="tokenizer and template of the chat model that it was trained from",
        origin="code",
        settings={"head": {"weights": "v_head", "read_at": "last"}, "tokenizer": "01-ai/Yi-34B-Chat"},
    ),
    Known(
        family="UltraRM",
        models=("openbmb/UltraRM-13b",),
        note="pickled: convert it first, then rm.like = this id; Human: … Assistant: … turns",
        origin="code",
        settings={"head": {"weights": "regression_head", "read_at": "last"}, "template": HUMAN},
    ),
    Known(
        family="Beaver reward",
        models=tuple(f"PKU-Alignment/beaver-7b-v{version}-reward" for version in ("1.0", "2.0", "3.0")),
        note="read at the closing EOS; its running normaliser is left out, which shifts and scales rewards alike",
        origin="code",
        settings={"head": {"weights": "score_head", "read_at": "last"}, "template": BEAVER},
    ),
    Known(
        family="Beaver cost",
        models=tuple(f"PKU-Alignment/beaver-7b-v{version}-cost" for version in ("1.0", "2.0", "3.0")),
        note="as the reward model, its sign turned: less cost is better",
        origin="code",
        settings={"head": {"weights": "score_head", "read_at": "last", "objectives": [-1.0]}, "template": BEAVER},
    ),
    Known(
        family="OpenAssistant Pythia",
        models=("OpenAssistant/oasst-rm-2.1-pythia-1.4b-epoch-2.5", "OpenAssistant/oasst-rm-2-pythia-6.9b-epoch-1"),
        note="a model type that transformers does not know, over GPT-NeoX; read at the last token",
        origin="code",
        settings={
            "head": {"weights": "out_proj", "backbone": "gpt_neox", "read_at": "last"},
            "template": PROMPTER,
        },
    ),
    Known(
        family="OpenAssistant DeBERTa",
        models=(
            "OpenAssistant/reward-model-deberta-v3-large-v2",
            "OpenAssistant/reward-model-deberta-v3-large",
            "OpenAssistant/reward-model-deberta-v3-base",
        ),
        note="an encoder; prompt and response as a text pair, no template",
        origin="memory",
    ),
    Known(
        family="PairRM",
        models=("llm-blender/PairRM-hf", "llm-blender/PairRM"),
        note="compares two responses, no scalar: scored against the reference, in both orders",
        origin="code",
        settings={"kind": "pairwise", "pairwise": {"layout": "pairrm"}},
    ),
    Known(
        family="SteamSHP",
        models=("stanfordnlp/SteamSHP-flan-t5-xl", "stanfordnlp/SteamSHP-flan-t5-large"),
        note="a T5 that says A or B: scored against the reference, in both orders",
        origin="code",
        settings={"kind": "pairwise", "pairwise": {"layout": "answer", "template": STEAM_SHP}},
    ),
)
_BY_MODEL = {model.lower(): known for known in KNOWN for model in known.models}


def known(model: str) -> Known | None:
    """The family of a hub id, whatever its case; None where we know nothing of it."""
    return _BY_MODEL.get(model.lower())


def nearest(model: str) -> str:
    """A hint at the known id that ``model`` may stand for."""
    found = get_close_matches(model.lower(), list(_BY_MODEL), n=1)
    names = {name.lower(): name for entry in KNOWN for name in entry.models}
    return f" (did you mean {names[found[0]]!r}?)" if found else ""


def with_known(values: Mapping[str, Any]) -> dict[str, Any]:
    """An ``[rm]`` table on top of what is known of its source, or of the model that it is ``like``.

    Raises:
        ValueError: it is like a model that is not known.
    """
    like, source = values.get("like"), values.get("source")
    if like is not None and known(str(like)) is None:
        raise ValueError(f"rm.like names no known model{nearest(str(like))}. See: rmminer rms")
    entry = known(str(like if like is not None else source))
    if entry is None:
        return dict(values)
    return {**entry.settings, **values, **_head(entry.settings.get("head"), values.get("head"))}


def _head(ours: Mapping[str, Any] | None, given: Any) -> dict[str, Any]:
    """The two ``[rm.head]`` tables as one; a head that is no table any more was read from a file of ours."""
    if ours is None or not (given is None or isinstance(given, Mapping)):
        return {}
    return {"head": {**ours, **(given or {})}}
