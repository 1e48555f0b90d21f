"""The reward models that the search is measured on, made once and kept, and the scorer that believes nobody.

All take one plain text, before + response + after, so that every peer can encode it: docs world's encoder as
``question [SEP] response`` without token types; docs world's policy LM with a score head; and a larger causal RM with
random weights for rates. The policy LM is too small to learn which answer belongs to which object (51 % on held-out
pairs after 600 steps): its rejected answers are the reference's own words shuffled.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

from corpus.records import Message, Prompt
from miner.campaigns.campaign import Campaign
from miner.campaigns.evaluation import clean_outcomes
from miner.config.campaign import CampaignConfig
from miner.language_models import load_language_model
from miner.measuring.benchmark.docs_models import shuffled
from miner.patching.pairs import clean_pairs
from miner.patching.preference_trainer import Recipe, train_preferences
from miner.rewards import load_reward_model
from miner.rewards.text.pipeline import ChatPipeline

TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}Question: {{ message['content'] }}\nAnswer:\n"
    "{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
)
RANDOM_CAUSAL: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_labels": 1,
}
MAX_TOKENS = 2048
ENCODER_STEPS, CAUSAL_STEPS = 60, 1000


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """An RM's folder, its kind, and how a question frames a response."""

    name: str
    folder: Path
    kind: str

    def frame(self, question: str) -> tuple[str, str]:
        """The text before and after the response."""
        return (f"{question} [SEP] ", "") if self.kind == "encoder" else (f"Question: {question}\nAnswer:\n", "")


class NeutralScorer:
    """Rewards from plain transformers: the whole text tokenised in one go, fp32, one text a batch, no cache."""

    def __init__(self, model: BenchModel) -> None:
        self.model = AutoModelForSequenceClassification.from_pretrained(model.folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model.folder)
        self.special_tokens = model.kind == "encoder"
        self.known: dict[str, float] = {}

    def __call__(self, before: str, response: str, after: str) -> float:
        text = before + response + after
        if text not in self.known:
            inputs = self.tokenizer(text, add_special_tokens=self.special_tokens, return_tensors="pt")
            with torch.inference_mode():
                self.known[text] = float(self.model(**inputs).logits[0, 0])
        return self.known[text]


def docs_campaign(out: Path) -> Campaign:
    """Docs world with its RM and policy; searches of the benchmark run through it."""
    attacks = [{"name": name} for name in ("gcg", "random", "corrupt", "best_of_n")]
    return Campaign(CampaignConfig.model_validate({"out": str(out), "data": {"world": "docs"}, "attacks": attacks}))


def bench_models(root: Path, campaign: Campaign) -> dict[str, BenchModel]:
    """The three RMs, trained where ``root`` lacks them."""
    makers: dict[str, tuple[str, Callable[[Path, Campaign], None]]] = {
        "docs encoder": ("encoder", _encoder),
        "docs causal": ("causal", _causal),
        "random causal": ("causal", _random_causal),
    }
    models = {}
    for name, (kind, make) in makers.items():
        folder = root / name.replace(" ", "-")
        if not (folder / "accuracy.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder, campaign)
            held_out = (
                shuffled(campaign.world.by_split["held_out"])
                if name == "docs causal"
                else (campaign.world.by_split["held_out"])
            )
            outcomes = clean_outcomes(load_reward_model(folder, dtype="float32"), held_out)
            assert outcomes is not None
            accuracy = outcomes.accuracy()
            stored = {"value": accuracy.value, "low": accuracy.low, "high": accuracy.high, "n": accuracy.n}
            (folder / "accuracy.json").write_text(json.dumps(stored))
        models[name] = BenchModel(name=name, folder=folder, kind=kind)
    return models


def _encoder(folder: Path, campaign: Campaign) -> None:
    """Docs world's RM, trained on for a little without token types."""
    start = folder / "start"
    AutoModelForSequenceClassification.from_pretrained(campaign.models.source(0)).save_pretrained(start)
    tokenizer = AutoTokenizer.from_pretrained(campaign.models.source(0))
    tokenizer.save_pretrained(start)
    _without_token_types(start)
    _train(start, folder, campaign.world.by_split["train"], ENCODER_STEPS, 5e-5)
    _without_token_types(folder)


def _without_token_types(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"model_input_names": ["input_ids", "attention_mask"]}
    path.write_text(json.dumps(config, indent=2))


def _causal(folder: Path, campaign: Campaign) -> None:
    """Docs world's policy LM with a score head."""
    assert campaign.world.policy is not None
    policy = load_language_model(campaign.world.policy.source)
    start = folder / "start"
    model = AutoModelForSequenceClassification.from_pretrained(campaign.world.policy.source, num_labels=1)
    model.config.pad_token_id = policy.tokenizer.pad_token_id or policy.start_token
    model.save_pretrained(start)
    _save_tokenizer(policy.tokenizer, start)
    _train(start, folder, shuffled(campaign.world.by_split["train"]), CAUSAL_STEPS, 5e-4)


def _random_causal(folder: Path, campaign: Campaign) -> None:
    """25 million parameters beside the embedding, random."""
    assert campaign.world.policy is not None
    tokenizer = load_language_model(campaign.world.policy.source).tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(**RANDOM_CAUSAL, vocab_size=len(tokenizer), max_position_embeddings=MAX_TOKENS)
    config.pad_token_id = tokenizer.pad_token_id or 0
    LlamaForSequenceClassification(config).save_pretrained(folder)
    _save_tokenizer(tokenizer, folder)


def _save_tokenizer(tokenizer: Any, folder: Path) -> None:
    tokenizer.chat_template = TEMPLATE
    tokenizer.model_max_length = MAX_TOKENS
    tokenizer.save_pretrained(folder)


def _train(start: Path, out: Path, prompts: Sequence[Prompt], steps: int, learning_rate: float) -> None:
    rm = load_reward_model(start, dtype="float32")
    recipe = Recipe(max_steps=steps, batch_pairs=16, learning_rate=learning_rate)
    pairs = clean_pairs(rm, prompts, steps * recipe.batch_pairs, Random(0), anchored=False)
    train_preferences(rm, rm.model, pairs, recipe, out=out, seed=0, progress=lambda *_: None)


def questions_of_length(model: BenchModel, campaign: Campaign, n_tokens: int, n: int) -> list[Prompt]:
    """Prompts whose rendered text before the response has ``n_tokens`` tokens: train text, cut."""
    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    words = " ".join(str(prompt.reference) for prompt in campaign.world.by_split["train"]).split()
    prompts: list[Prompt] = []
    rng = np.random.default_rng(0)
    while len(prompts) < n:
        at = int(rng.integers(len(words) - 2 * n_tokens))
        prompts.append(_cut(model, tokenizer, words[at : at + 2 * n_tokens], n_tokens))
    return prompts


def _cut(model: BenchModel, tokenizer: Any, words: Sequence[str], n_tokens: int) -> Prompt:
    kept = list(words)
    while True:
        question = " ".join(kept)
        length = len(tokenizer(model.frame(question)[0], add_special_tokens=False)["input_ids"])
        if length <= n_tokens or len(kept) == 1:
            return Prompt(conversation=(Message(role="user", content=question),), reference=None, group_key=question)
        kept = kept[: max(1, min(len(kept) - 1, len(kept) * n_tokens // length))]


def check_frames(model: BenchModel) -> None:
    """Our pipeline and the plain frame write the same text: otherwise nothing here would be comparable."""
    rm = load_reward_model(model.folder, dtype="float32")
    scorer = NeutralScorer(model)
    before, after = model.frame("What does `open` do?")
    from miner.rewards import Pair

    conversation = (Message(role="user", content="What does `open` do?"),)
    ours, neutral = rm.reward(Pair(conversation, "Open a file")), scorer(before, "Open a file", after)
    if abs(ours - neutral) > 1e-4:
        raise SystemExit(f"{model.name}: our reward {ours} is not the plain text's {neutral}")
    assert model.kind == "encoder" or isinstance(rm.pipeline, ChatPipeline)
