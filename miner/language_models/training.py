"""A small causal LM from scratch on plain text: docs world's policy and its reference LM.

Byte-level BPE and a Llama-shaped decoder, so that it loads anywhere an ``AutoModelForCausalLM`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import torch

from miner.checkpoints.loading import quiet_transformers
from miner.checkpoints.precision import choose
from miner.config.reward_model import TrainingDType

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

WEIGHT_DECAY = 0.1
WARM_UP_STEPS = 30

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class LanguageModelRecipe:
    """Size and training of a small LM; ``steps`` batches of ``batch_rows`` × ``row_tokens``."""

    vocabulary: int = 2048
    hidden: int = 192
    layers: int = 3
    heads: int = 4
    steps: int = 400
    batch_rows: int = 32
    row_tokens: int = 64
    learning_rate: float = 3e-3
    dropout: float = 0.1
    max_length: int = 256

    @property
    def flops(self) -> float:
        """Of the training, roughly: forward and backward through the matrices, the output's included."""
        matrices = self.layers * 13 * self.hidden**2 + self.vocabulary * self.hidden
        return 6.0 * matrices * self.steps * self.batch_rows * self.row_tokens


def train_language_model(
    texts: Sequence[str],
    recipe: LanguageModelRecipe,
    *,
    out: Path,
    seed: int,
    dtype: TrainingDType = "auto",
    progress: Progress,
) -> None:
    """Train on ``texts`` and save model and tokenizer under ``out`` (safetensors)."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = train_tokenizer(texts, recipe.vocabulary)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=recipe.max_length,
    )
    rows = [[0, *backend.encode(text).ids, 1] for text in texts]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=backend.get_vocab_size(),
                hidden_size=recipe.hidden,
                intermediate_size=3 * recipe.hidden,
                num_hidden_layers=recipe.layers,
                num_attention_heads=recipe.heads,
                num_key_value_heads=recipe.heads,
                max_position_embeddings=recipe.max_length,
                tie_word_embeddings=True,
                bos_token_id=0,
                eos_token_id=1,
                pad_token_id=2,
            )
        )
        precision = choose("training", model.device, dtype)
        _train(model, _batches(rows, recipe, Random(seed)), recipe, precision.dtype, progress)
    with quiet_transformers():
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE; ids 0, 1 and 2 are the marks before and behind a text and the padding."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _batches(rows: list[list[int]], recipe: LanguageModelRecipe, rng: Random) -> Iterator[torch.Tensor]:
    """Shuffled documents joined and cut into rows, for ever: each (batch_rows, row_tokens)."""
    rows = list(rows)
    while True:
        rng.shuffle(rows)
        stream = torch.tensor([token for row in rows for token in row])
        n_rows = max(1, len(stream) // recipe.row_tokens)
        cut = stream[: n_rows * recipe.row_tokens].view(n_rows, -1)
        for start in range(0, max(1, n_rows - recipe.batch_rows + 1), recipe.batch_rows):
            yield cut[start : start + recipe.batch_rows]


def _train(
    model: LlamaForCausalLM,
    batches: Iterator[torch.Tensor],
    recipe: LanguageModelRecipe,
    dtype: torch.dtype,
    progress: Progress,
) -> None:
    optimiser = torch.optim.AdamW(  # not Muon, whose iteration is in bf16 whatever the weights are in
        model.parameters(), lr=recipe.learning_rate, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.95)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(_warm_up_and_decay, recipe.steps))
    model.train()
    for step in range(recipe.steps):
        ids = next(batches)
        with torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32):
            hidden = model.model(input_ids=ids).last_hidden_state
            logits = model.lm_head(torch.nn.functional.dropout(hidden, recipe.dropout))
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        progress(step + 1, recipe.steps)


def _warm_up_and_decay(steps: int, step: int) -> float:
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(0.02, 1 - step / steps)
