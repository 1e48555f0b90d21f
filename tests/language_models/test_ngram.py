"""The n-gram LM against counting by hand, and what makes it a judge: one value per text, whatever else is read."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from miner.errors import ModelError
from miner.language_models import NGramModel, is_ngram_model, load_language_model
from miner.language_models.ngram import END, START, train_ngram_model
from miner.language_models.training import train_tokenizer

pytestmark = pytest.mark.ranges

ORDER = 3
TEXTS = [
    "Return the name of the file.",
    "Return the size of the file in bytes.",
    "Close the file and return its name.",
    "The name of the host.",
    "Return a list of names.",
    "Open the file for reading and return a list of lines.",
] * 3 + ["Remove the file.", "Return the host."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ngram")
    train_ngram_model(TEXTS, train_tokenizer(TEXTS, 290), order=ORDER, out=out)
    return out


@pytest.fixture(scope="module")
def model(folder: Path) -> NGramModel:
    return NGramModel.load(folder)


class ByHand:
    """Chen and Goodman's recursion, written down with dictionaries."""

    def __init__(self, rows: list[list[int]], vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.counts: dict[int, Counter[tuple[int, ...]]] = {n: Counter() for n in range(1, ORDER + 1)}
        preceding: dict[tuple[int, ...], set[int]] = defaultdict(set)
        for row in rows:
            for end in range(2, len(row) + 1):
                for n in range(1, min(ORDER, end) + 1):
                    gram = tuple(row[end - n : end])
                    if n in (ORDER, end):
                        self.counts[n][gram] += 1
                    else:
                        preceding[gram].add(row[end - n - 1])
        for gram, tokens in preceding.items():
            self.counts[len(gram)][gram] += len(tokens)

    @cache  # noqa: B019
    def discount(self, n: int, count: int) -> float:
        seen = [sum(c == k for c in self.counts[n].values()) for k in (1, 2, 3, 4)]
        if 0 in seen:
            return 0.5
        share = seen[0] / (seen[0] + 2 * seen[1])
        found = [k - (k + 1) * share * seen[k] / seen[k - 1] for k in (1, 2, 3)]
        return found[min(count, 3) - 1] if min(found) > 0 else 0.5

    def probability(self, token: int, context: tuple[int, ...]) -> float:
        n = len(context) + 1
        lower = 1 / self.vocabulary if n == 1 else self.probability(token, context[1:])
        beside = {gram: count for gram, count in self.counts[n].items() if gram[:-1] == context}
        if not beside:
            return lower
        total = sum(beside.values())
        rest = sum(self.discount(n, count) for count in beside.values()) / total
        own = beside.get((*context, token), 0)
        return (own - self.discount(n, own) if own else 0.0) / total + rest * lower


def test_every_likelihood_is_the_one_counted_by_hand(model: NGramModel) -> None:
    rows = [[START, *model.tokenizer.encode(text).ids, END] for text in TEXTS]
    hand = ByHand(rows, model.tokenizer.get_vocab_size())
    texts = ["Return the name of the host.", "Bytes file the of.", "Zebra!", "the"]
    for text, nll in zip(texts, model.token_nll(texts), strict=True):
        ids = [START, *model.tokenizer.encode(text).ids]
        expected = [hand.probability(ids[i], tuple(ids[max(0, i - ORDER + 1) : i])) for i in range(1, len(ids))]
        np.testing.assert_allclose(np.exp(-nll), expected, rtol=1e-12)


@pytest.mark.parametrize("before", ["", "Return the", "Zebra zebra", "file"])
def test_the_likelihoods_of_all_next_tokens_sum_to_one(model: NGramModel, before: str) -> None:
    head = model.tokenizer.encode(before).ids
    nll = model.ids_nll([[*head, token] for token in range(model.tokenizer.get_vocab_size())])
    assert np.exp(-np.array([one[-1] for one in nll])).sum() == pytest.approx(1.0, abs=1e-12)


def test_nothing_is_impossible_however_even_the_counts_are(tmp_path: Path) -> None:
    """Where most pairs are seen four times and few three, what is left for other pairs comes out negative."""
    often = [f"{first} {second}" for first, second in zip("abcdefghijklm", "nopqrstuvwxyz", strict=True)]
    texts = [*often * 4, *["0 1"] * 3, *["2 3"] * 2, "4 5", "6 7"]
    train_ngram_model(texts, train_tokenizer(texts, 300), order=2, out=tmp_path)
    model = NGramModel.load(tmp_path)
    assert np.isfinite(np.concatenate(model.token_nll(["a o", "b n", "c 1"]))).all()


def test_neither_order_nor_company_changes_a_bit_of_a_value(model: NGramModel) -> None:
    alone = [model.token_nll([text])[0] for text in TEXTS]
    together = model.token_nll(TEXTS[::-1])[::-1]
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


def test_an_empty_text_has_no_token_and_no_text_no_values(model: NGramModel) -> None:
    assert [len(one) for one in model.token_nll(["", "Return", ""])][::2] == [0, 0]
    assert model.token_nll([]) == []


def test_sense_is_likelier_than_its_words_in_another_order(model: NGramModel) -> None:
    sense, salad = model.token_nll(["Return the size of the file.", "The of file return size the."])
    assert sense.sum() < salad.sum() - 1


def test_the_same_texts_make_the_same_model(model: NGramModel, tmp_path: Path) -> None:
    train_ngram_model(TEXTS, train_tokenizer(TEXTS, 290), order=ORDER, out=tmp_path)
    assert NGramModel.load(tmp_path).fingerprint == model.fingerprint
    assert is_ngram_model(tmp_path)
    assert not is_ngram_model(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", ["torn", "gone"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_model_is_named(folder: Path, tmp_path: Path, name: str, damage: str) -> None:
    shutil.copytree(folder, tmp_path / "damaged")
    file = tmp_path / "damaged" / name
    file.write_bytes(file.read_bytes()[:10]) if damage == "torn" else file.unlink()
    with pytest.raises(ModelError, match="holds no whole n-gram LM"):
        NGramModel.load(tmp_path / "damaged")


def test_a_mark_spelt_out_in_a_text_is_text(model: NGramModel) -> None:
    ids = model.tokenizer.encode("Return the file.</s><s><pad>", add_special_tokens=False).ids
    assert not {START, END, 2} & set(ids)
    (nll,) = model.token_nll(["Return the file.</s><s><pad>"])
    assert len(nll) == len(ids)


def test_it_cannot_be_a_policy(folder: Path) -> None:
    with pytest.raises(ModelError, match="it can judge, not write"):
        load_language_model(folder, device="cpu")
