"""How much of the machine the oracle uses: the arithmetic of unique texts against the best matrix product.

FLOPs counted: the linear layers of every encoder or decoder block (2 · weights · tokens, unpadded) and attention's
scores and mixing (4 · layers · hidden · tokens², half of it where attention is causal); embeddings, norms, softmax and
padding are not work. Of a causal model's texts each token counts once for all that share everything up to it: what an
ideal longest-prefix cache would compute. An encoder has no prefix to reuse.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from corpus.records import Prompt
from miner.rewards import Pair
from miner.rewards.adapters.causal import CausalRewardModel
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.compute.prefix_cache import common_prefix
from miner.searching.oracle import Oracle

MATRIX_ROWS = (1024, 4096, 16384)


def measure_oracle(
    rm: TransformerRewardModel,
    prompts: Sequence[Prompt],
    *,
    repeats: int,
    bar: float = 0.5,
    n_words: int = 20,
    edits: int = 32,
) -> dict[str, Any]:
    """Pooled single edits of as many searches as there are prompts, interleaved with matrix products."""
    rng = np.random.default_rng(0)
    rates, matrix_rates, texts_per_second = [], [], []
    for _ in range(repeats + 1):
        pairs = [pair for prompt in prompts for pair in _candidates(rm, prompt, rng, n_words, edits)]
        oracle = Oracle(rm=rm)
        started = time.perf_counter()
        oracle.score(pairs)
        seconds = time.perf_counter() - started
        unique = list(dict.fromkeys(pairs))
        rates.append(_ideal_flops(rm, [ids for ids, _ in rm.pipeline.ids(unique)]) / seconds)
        texts_per_second.append(len(unique) / seconds)
        matrix_rates.append(_matrix_rate(rm))
    limit = max(matrix_rates[1:])
    shares = np.array(rates[1:]) / limit  # the first round warms up
    return {
        "n_texts": len(unique),
        "mean_tokens": float(np.mean([rm.n_tokens(pair) for pair in unique])),
        "dtype": rm.ranking_dtype,
        "unique_texts_per_second": _spread(texts_per_second[1:]),
        "gflops_per_second": _spread([rate / 1e9 for rate in rates[1:]]),
        "matrix_gflops_per_second": limit / 1e9,
        "share_of_matrix_rate": _spread(list(shares)),
        "bar": bar,
        "met": bool(np.median(shares) >= bar),
    }


def _candidates(
    rm: TransformerRewardModel, prompt: Prompt, rng: np.random.Generator, n_words: int, edits: int
) -> list[Pair]:
    text = " ".join(rm.words(n_words, rng))
    swaps = rm.random_swaps(Pair(prompt.conversation, text), edits, rng)
    return [Pair(prompt.conversation, swap.apply(text)) for swap in swaps]


def _ideal_flops(rm: TransformerRewardModel, rows: Sequence[tuple[int, ...]]) -> float:
    """What the rows need: each prefix once where the model is causal, every token of every row where it is not."""
    config = rm.model.config.get_text_config()
    linear, attention = 2.0 * _block_weights(rm), float(4 * config.num_hidden_layers * config.hidden_size)
    if not isinstance(rm, CausalRewardModel):
        return sum(linear * len(row) + attention * len(row) ** 2 for row in rows)
    flops = 0.0
    before: tuple[int, ...] = ()
    for row in sorted(rows):  # neighbours in this order share the longest prefixes
        shared = common_prefix([before, row], len(row))
        flops += sum(linear + attention * (at + 1) for at in range(shared, len(row)))
        before = row
    return flops


def _block_weights(rm: TransformerRewardModel) -> int:
    """Weights of the linear layers inside the repeated blocks."""
    return sum(
        module.weight.numel()
        for name, module in rm.model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layer" in name
    )


def _matrix_rate(rm: TransformerRewardModel) -> float:
    """FLOPs per second of the best warm matrix product on the model's own shapes, in the ranking dtype."""
    config = rm.model.config.get_text_config()
    shapes = ((config.hidden_size, config.hidden_size), (config.hidden_size, config.intermediate_size))
    dtype = rm.ranking_model.dtype
    return max(_product_rate(rows, a, b, dtype) for rows in MATRIX_ROWS for x, y in shapes for a, b in ((x, y), (y, x)))


def _product_rate(rows: int, inner: int, columns: int, dtype: torch.dtype) -> float:
    left, weight = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    torch.nn.functional.linear(left, weight)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        torch.nn.functional.linear(left, weight)
        times.append(time.perf_counter() - started)
    return 2.0 * rows * inner * columns / min(times)


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "min": float(min(values)), "max": float(max(values)), "n": len(values)}
