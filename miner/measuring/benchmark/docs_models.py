"""Docs world's reward models of different kinds, to be ranked; two of them are weak on purpose.

=============  ==========================================================================================
encoder        docs world's own RM
patched        the same after one patch on what `gcg` and `corrupt` found on train prompts
causal         a decoder read at its last token: MiniLM's word vectors below layers of its own, which also learnt that
               shuffled words are no answer
bag-of-words   weak: an encoder without positions, to which every order of the words is the same
length-biased  weak: the encoder, trained on with the longer of two answers preferred, whatever it says
=============  ==========================================================================================
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from corpus.records import Prompt
from miner.checkpoints.identity import cache_folder
from miner.config.campaign import CampaignConfig, DataSection
from miner.errors import ConfigError
from miner.patching.pairs import clean_pairs
from miner.patching.preference_trainer import Recipe, train_preferences
from miner.progress import Advance, Observer
from miner.worlds.docs.models import DOCS, ModelCache, prepare
from miner.worlds.docs.reward_model import initialise, minilm_folder
from miner.worlds.docs.world import DocsWorld

SEED = 0
CODE_VERSION = 1  # raise it when training changes in a way that a recipe does not show
TURNS = "{% for message in messages %}{{ message['content'] }} [SEP]{% if not loop.last %} {% endif %}{% endfor %}"


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """What an RM of the zoo is made from. ``steps`` scale every training: 1 in full, less for a quick look."""

    docs: DocsWorld
    encoder: Path
    quick: bool
    observer: Observer

    def recipe(self, steps: int, learning_rate: float) -> Recipe:
        return Recipe(max_steps=max(8, steps // 4) if self.quick else steps, learning_rate=learning_rate)

    def train(self, start: Path, out: Path, prompts: Sequence[Prompt], recipe: Recipe, advance: Advance) -> None:
        """Bradley–Terry training of the model at ``start``."""
        from miner.rewards import load_reward_model

        rm = load_reward_model(start, dtype="float32")
        pairs = clean_pairs(rm, prompts, recipe.max_steps * recipe.batch_pairs, Random(SEED), anchored=False)
        train_preferences(rm, rm.model, pairs, recipe, out=out, seed=SEED, progress=advance)


def _bag_of_words(context: TrainingContext, out: Path, advance: Advance) -> None:
    from transformers import BertForSequenceClassification

    start = initialise(out / "start", 2, SEED)
    model: Any = BertForSequenceClassification.from_pretrained(start)
    model.bert.embeddings.position_embeddings.weight.data.zero_()
    model.save_pretrained(start)
    recipe = replace(context.recipe(200, 2e-4), frozen=("bert.embeddings.position_embeddings.",))
    context.train(start, out, context.docs.prompts("train"), recipe, advance)


def _causal(context: TrainingContext, out: Path, advance: Advance) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    source, start = minilm_folder(), out / "start"
    vectors = load_file(source / "model.safetensors")["embeddings.word_embeddings.weight"]
    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    tokenizer.chat_template = TURNS
    tokenizer.save_pretrained(start)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        config = LlamaConfig(
            vocab_size=len(vectors),
            hidden_size=vectors.shape[1],
            intermediate_size=2 * vectors.shape[1],
            num_hidden_layers=2,
            num_attention_heads=6,
            max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.cls_token_id,
            eos_token_id=tokenizer.sep_token_id,
        )
        config.num_labels = 1
        make: Any = LlamaForSequenceClassification
        model = make(config)
    model.model.embed_tokens.weight.data.copy_(10 * vectors)
    model.save_pretrained(start)
    prompts = context.docs.prompts("train")
    context.train(start, out, [*prompts, *shuffled(prompts)], context.recipe(400, 5e-4), advance)


def shuffled(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts with the good answer's own words in another order as the only wrong one."""
    found = []
    for at, prompt in enumerate(prompts):
        words = str(prompt.reference).split()
        if len(words) > 3:
            found.append(replace(prompt, rejected=(" ".join(Random(at).sample(words, len(words))),)))
    return found


def _length_biased(context: TrainingContext, out: Path, advance: Advance) -> None:
    prompts = context.docs.prompts("train")
    context.train(context.encoder, out, [*prompts, *longer(prompts)], context.recipe(80, 1e-4), advance)


def longer(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts with the longer answer preferred: the good one with a wrong one behind it beats the good one."""
    return [
        replace(prompt, reference=f"{prompt.reference} {prompt.rejected[0]}", rejected=(str(prompt.reference),))
        for prompt in prompts
        if prompt.rejected
    ]


def _patched(context: TrainingContext, out: Path, advance: Advance) -> None:
    from miner.campaigns.campaign import Campaign

    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(
            CampaignConfig.model_validate(
                {
                    "out": folder,
                    "seed": SEED,
                    "rm": {"source": str(context.encoder)},
                    "data": {"world": DOCS, "quick": context.quick},
                    "attacks": [{"name": "gcg"}, {"name": "corrupt"}],
                    "mine": {"prompts": 8 if context.quick else 64, "budget_queries": 512},
                    "patch": {"steps": 30 if context.quick else 160, "findings_share": 0.4},
                }
            )
        )
        campaign.mine(0)
        advance(1, 2)
        campaign.patch(0)
        shutil.copytree(campaign.run.model(1), out, dirs_exist_ok=True)


Make = Callable[[TrainingContext, Path, Advance], None]
KINDS: Mapping[str, Make | None] = {
    "encoder": None,  # docs world has it already
    "patched": _patched,
    "causal": _causal,
    "bag-of-words": _bag_of_words,
    "length-biased": _length_biased,
}


def resolve(models: Sequence[str], data: DataSection, *, observer: Observer) -> dict[str, str]:
    """Sources of ``models`` by name: ``docs`` is the whole zoo, ``docs:KIND`` one of it, anything else itself.

    Those of the zoo that the user's cache lacks are trained, with seed 0 whatever the benchmark's: what is ranked is
    always the same.

    Raises:
        ConfigError: no such kind, or a model named twice.
    """
    names = [name for model in models for name in ([f"{DOCS}:{kind}" for kind in KINDS] if model == DOCS else [model])]
    if len(set(names)) < len(names):
        raise ConfigError("a model is named twice; name each once")
    wanted = [name.removeprefix(f"{DOCS}:") for name in names if name.startswith(f"{DOCS}:")]
    if unknown := [kind for kind in wanted if kind not in KINDS]:
        raise ConfigError(f"docs world has no RM {unknown[0]!r}. It has: {', '.join(KINDS)}")
    sources = _train_missing(wanted, quick=data.quick, observer=observer) if wanted else {}
    return {name: str(sources.get(name.removeprefix(f"{DOCS}:"), name)) for name in names}


def _train_missing(kinds: Sequence[str], *, quick: bool, observer: Observer) -> dict[str, Path]:
    config = CampaignConfig.model_validate({"out": ".", "seed": SEED, "data": {"world": DOCS, "quick": quick}})
    world = prepare(config, observer=observer)
    encoder, cache = Path(str(world.rm.source)), ModelCache(cache_folder() / "docsworld", observer)
    context = TrainingContext(docs=cache.docs(), encoder=encoder, quick=quick, observer=observer)
    found = {"encoder": encoder}
    for kind in kinds:
        if (make := KINDS[kind]) is not None:
            recipe = [CODE_VERSION, encoder.name, context.docs.data_hash, quick]
            found[kind] = cache.trained(
                f"zoo {kind}", f"training docs world's {kind} RM", recipe,
                partial(make, context),
            )  # fmt: skip
    return found
