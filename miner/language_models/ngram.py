"""An n-gram LM with modified Kneser–Ney smoothing (Chen & Goodman 1998, interpolated) over byte-level BPE tokens.

Counts, and no product of matrices: made in seconds from a few megabytes of text, and its likelihoods are the same on
every machine, in any company and with any number of threads. It judges; it cannot follow a prompt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from miner.checkpoints.identity import fingerprint
from miner.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

CONFIG, TABLES, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
MODEL_TYPE = "kneser-ney"
START, END = 0, 1  # ids of the marks that the tokenizer begins with
N_DISCOUNTS = 3  # for n-grams seen once, twice, and more often


@dataclass(frozen=True, slots=True)
class _Order:
    """The n-grams of one length: sorted hashes with their discounted shares, contexts with what they leave below."""

    ngrams: Keys
    shares: Floats
    contexts: Keys
    rest: Floats


@dataclass(frozen=True, kw_only=True)
class NGramModel:
    """Likelihoods of texts; see the module. ``dtype`` is that of its shares."""

    name: str
    fingerprint: str
    tokenizer: Tokenizer
    orders: tuple[_Order, ...]
    dtype: str = "float64"

    def token_nll(self, texts: Sequence[str]) -> list[Floats]:
        """Negative log-likelihood of each token, in nats, given what precedes it.

        One array per text, in order, empty for the empty text. Nothing but the text matters.
        """
        return self.ids_nll([one.ids for one in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)])

    def ids_nll(self, rows: Sequence[Sequence[int]]) -> list[Floats]:
        """``token_nll`` of texts given as token ids."""
        if not rows:
            return []
        tokens, before = _stream([[START, *row] for row in rows])
        predicted = np.nonzero(before)[0]
        likelihood = np.full(len(predicted), 1 / self.tokenizer.get_vocab_size())
        for n, (order, keys) in enumerate(zip(self.orders, _keys(tokens, len(self.orders)), strict=True), start=1):
            known = before[predicted] >= n - 1
            at = predicted[known]
            contexts = keys.contexts[at]
            rest, has_context = _looked_up(order.contexts, order.rest, contexts)
            share, _ = _looked_up(order.ngrams, order.shares, keys.ngrams[at])
            likelihood[known] = np.where(has_context, share + rest * likelihood[known], likelihood[known])
        nll = -np.log(likelihood)
        ends = np.cumsum([len(row) for row in rows])
        return np.split(nll, ends[:-1])

    @classmethod
    def load(cls, folder: Path) -> NGramModel:
        """The model that ``train_ngram_model`` wrote to ``folder``.

        Raises:
            ModelError: a file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            stored = load_file(folder / TABLES)
            orders = tuple(
                _Order(*(stored[f"{n}.{part}"] for part in _Order.__slots__)) for n in range(1, config["order"] + 1)
            )
            tokenizer = _tokenizer((folder / TOKENIZER).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(f"{folder} holds no whole n-gram LM: {error}. Remove it; it is made again") from error
        return cls(name=folder.name, fingerprint=fingerprint(folder), tokenizer=tokenizer, orders=orders)


def is_ngram_model(folder: Path) -> bool:
    """Whether ``folder`` holds such a model."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == MODEL_TYPE


def train_ngram_model(texts: Sequence[str], tokenizer: Tokenizer, *, order: int, out: Path) -> None:
    """Count the n-grams of ``texts`` up to ``order`` tokens and save the model under ``out`` (safetensors).

    The tokenizer's first two ids are the marks before and behind a text.
    """
    from safetensors.numpy import save_file

    encoded = _tokenizer(tokenizer.to_str()).encode_batch(list(texts), add_special_tokens=False)
    tokens, before = _stream([[START, *one.ids, END] for one in encoded])
    counted = [_counted(keys, before, n, is_highest=n == order) for n, keys in enumerate(_keys(tokens, order), start=1)]
    stored: dict[str, npt.NDArray[np.generic]] = {}
    for n, found in enumerate(counted, start=1):
        stored |= {f"{n}.{part}": getattr(found, part) for part in _Order.__slots__}
    out.mkdir(parents=True, exist_ok=True)
    save_file(stored, out / TABLES)
    tokenizer.save(str(out / TOKENIZER))
    (out / CONFIG).write_text(json.dumps({"model_type": MODEL_TYPE, "order": order}), encoding="utf-8")


def _tokenizer(text: str) -> Tokenizer:
    """The tokenizer in a file's text. A mark spelt out in a text is text: as a mark it would be likely anywhere.

    Raises:
        ValueError: it is damaged.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises nothing narrower
        raise ValueError(f"its tokenizer is damaged: {error}") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


@dataclass(frozen=True, slots=True)
class _Keys:
    """By position of the stream the hash of the n-gram that ends there, of its context, and of it with one more token
    before it."""

    ngrams: Keys
    contexts: Keys
    extended: Keys


def _keys(tokens: Ints, order: int) -> list[_Keys]:
    """For n = 1 to ``order``. A hash is made from the n-gram's last token to its first."""
    made = [np.zeros(len(tokens), dtype=np.uint64)]
    for n in range(order + 1):
        shifted = np.zeros(len(tokens), dtype=np.uint64)
        shifted[n:] = tokens[: len(tokens) - n].astype(np.uint64) + np.uint64(1)
        made.append(_mixed(made[-1] * np.uint64(0x9E3779B97F4A7C15) + shifted))
    contexts = [np.concatenate([one[:1], one[:-1]]) for one in made]
    return [_Keys(ngrams=made[n], contexts=contexts[n - 1], extended=made[n + 1]) for n in range(1, order + 1)]


def _mixed(keys: Keys) -> Keys:
    """The finaliser of SplitMix64: every bit of a key moves every bit."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _counted(keys: _Keys, before: Ints, n: int, *, is_highest: bool) -> _Order:
    """The n-grams that end in a predicted token. Shorter ones count by how many different tokens precede them, as
    Kneser and Ney have it; those at a text's start, which nothing precedes, by how often they occur."""
    at = np.nonzero(before >= max(1, n - 1))[0]
    ngrams, first, counts = np.unique(keys.ngrams[at], return_index=True, return_counts=True)
    if not is_highest:
        inside = np.nonzero(before >= n)[0]
        distinct = inside[np.unique(keys.extended[inside], return_index=True)[1]]
        counts = np.where(before[at[first]] == n - 1, counts, 0)
        found, preceded = np.unique(keys.ngrams[distinct], return_counts=True)
        counts[np.searchsorted(ngrams, found)] += preceded
    discounts = _discounts(counts)[np.minimum(counts, N_DISCOUNTS)]
    contexts, context = np.unique(keys.contexts[at[first]], return_inverse=True)
    totals = np.bincount(context, counts)
    return _Order(
        ngrams=ngrams,
        shares=(counts - discounts) / totals[context],
        contexts=contexts,
        rest=np.bincount(context, discounts) / totals,
    )


def _discounts(counts: Ints) -> Floats:
    """What is taken from n-grams seen 0, 1, 2 and more times; a half where that cannot be told.

    Something is taken from all: a context that gave nothing away would make every other token behind it impossible.
    """
    seen = np.bincount(np.minimum(counts, N_DISCOUNTS + 2), minlength=N_DISCOUNTS + 3)[1 : N_DISCOUNTS + 2]
    steps = np.arange(1, N_DISCOUNTS + 1)
    if seen.all():
        share = seen[0] / (seen[0] + 2 * seen[1])
        found = steps - (steps + 1) * share * seen[1:] / seen[:-1]
        if (found > 0).all():
            return np.concatenate([[0.0], found])
    return 0.5 * np.minimum(np.arange(N_DISCOUNTS + 1), 1)


def _stream(rows: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """The rows one after the other, and how many tokens of its row precede each: two of shape (n_tokens,)."""
    lengths = np.array([len(row) for row in rows])
    tokens = np.fromiter((token for row in rows for token in row), dtype=np.int64, count=int(lengths.sum()))
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return tokens, np.arange(len(tokens)) - starts


def _looked_up(keys: Keys, values: Floats, wanted: Keys) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The values of the wanted keys, 0 where there is none, and where there is one."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    present = keys[at] == wanted
    return np.where(present, values[at], 0.0), present
