"""Docs world's second reward model: no network, no weights of the first, and nothing but counts of words.

A logistic regression (Bradley–Terry) on the difference that a good answer and a worse one make in hashed features:
which word stands in the answer to which part of the name (``mkdir`` says "directory"), which word behind which (it
dislikes salad), how much of the name's spelling the answer has, and how long it is.

It learns on the libraries that are installed anyway, names with their summaries, which the first RM never saw, and on
pairs of docs world's train split.
"""

from __future__ import annotations

import ast
import importlib.util
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from corpus.records import Prompt
from miner.rewards.base import Pair
from miner.worlds.docs.harvest import sentences
from miner.worlds.docs.world import question

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float64]

NAME = re.compile(r"`([^`]+)`")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
WORD = re.compile(r"[a-z]+|\d+|[^\sa-z\d]")
GRAM = 4
MAX_LENGTH = 40  # words: longer answers are not liked for it
N_FEATURES = 2**18
PENALTY_INVERSE = 10.0  # weak: a word that was seen beside a part of a name a few times is to count
WEIGHTS = "weights"


@dataclass(frozen=True, kw_only=True)
class LexicalRewardModel:
    """Scores only. ``weights`` are those of the hashed features: (``N_FEATURES``,)."""

    name: str
    fingerprint: str
    weights: Floats

    def exact_rewards(self, pairs: Sequence[Pair]) -> Floats:
        """Rewards, shape (n_pairs,)."""
        rewards: Floats = _hashed([(pair.prompt[-1].content, pair.response) for pair in pairs]) @ self.weights
        return rewards

    @classmethod
    def load(cls, path: Path) -> LexicalRewardModel:
        from safetensors.numpy import load_file

        weights = load_file(path)[WEIGHTS].astype(np.float64)
        return cls(name="lexical", fingerprint=sha256(path.read_bytes()).hexdigest()[:32], weights=weights)


def train_lexical(
    named: Sequence[tuple[str, str]], prompts: Sequence[Prompt], *, out: Path, seed: int
) -> LexicalRewardModel:
    """Learn that the summaries of ``named`` beat others, and the references of ``prompts`` their rejected answers.

    A good answer's own words shuffled lose too: order is worth something to it. Saved to ``out`` (safetensors).
    """
    from safetensors.numpy import save_file
    from sklearn.linear_model import LogisticRegression

    rng, summaries = Random(seed), [summary for _, summary in named]
    known: list[tuple[str, str, tuple[str, ...]]] = [
        *((question(name), summary, (rng.choice(summaries),)) for name, summary in named),
        *((p.conversation[-1].content, p.reference, p.rejected) for p in prompts if p.reference is not None),
    ]
    good: list[tuple[str, str]] = []
    bad: list[tuple[str, str]] = []
    for asked, answer, others in known:
        worse = (*others, " ".join(rng.sample(words := answer.split(), len(words))))
        good += [(asked, answer)] * len(worse)
        bad += [(asked, one) for one in worse]
    signs = np.array([rng.choice((-1.0, 1.0)) for _ in good])  # a regression wants both outcomes
    signed = (_hashed(good) - _hashed(bad)).multiply(signs[:, None]).tocsr()
    fitted = LogisticRegression(C=PENALTY_INVERSE, fit_intercept=False, max_iter=1000).fit(signed, signs)
    save_file({WEIGHTS: fitted.coef_[0].astype(np.float32)}, out)
    return LexicalRewardModel.load(out)


def _hashed(rows: Sequence[tuple[str, str]]) -> csr_matrix:
    """Features of answers to questions: (n_rows, ``N_FEATURES``)."""
    from sklearn.feature_extraction import FeatureHasher

    hasher = FeatureHasher(N_FEATURES, input_type="pair", alternate_sign=False)
    matrix: csr_matrix = hasher.transform(_features(asked, answer) for asked, answer in rows)
    return matrix


def _features(asked: str, answer: str) -> Iterator[tuple[str, float]]:
    """Those of an answer count one in all, whatever its length, and so do those of each pair of words."""
    home, own = parts_of(asked)
    words = words_of(answer)
    different = dict.fromkeys(words)
    for word in different:
        for name in (word, *(f"{part} says {word}" for part in own), *(f"in {part} says {word}" for part in home)):
            yield name, 1 / len(different)
    for before, word in zip(("", *words), (*words, ""), strict=True):
        yield f"{before} then {word}", 1 / (len(words) + 1)
    spelt = {gram for word in different for gram in grams(word)}
    for kind, parts in (("own", own), ("home", home)):
        theirs = {gram for part in parts for gram in grams(part)}
        yield f"spelling of {kind}", len(theirs & spelt) / max(1, len(theirs))
        yield f"parts of {kind}", _shared(parts, words)
    yield "length", math.log1p(min(len(words), MAX_LENGTH))


def library_names(packages: Sequence[str]) -> list[tuple[str, str]]:
    """(dotted name, summary) of the documented objects of installed packages, read from source, each summary once."""
    found: dict[str, str] = {}
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        root = Path(spec.origin).parent
        for file in sorted(root.rglob("*.py")):
            if "test" in file.as_posix():
                continue
            module = ".".join([package, *file.relative_to(root).with_suffix("").parts]).removesuffix(".__init__")
            try:
                tree = ast.parse(file.read_text(encoding="utf-8", errors="ignore"))
            except SyntaxError:  # a template that is no Python yet
                continue
            for name, summary in _documented(tree, module):
                found.setdefault(summary, name)
    return [(name, summary) for summary, name in found.items()]


def _documented(node: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not child.name.startswith("_"):
            name = f"{prefix}.{child.name}"
            if summary := sentences(ast.get_docstring(child) or ""):
                yield name, summary[0]
            if isinstance(child, ast.ClassDef):
                yield from _documented(child, name)


def parts_of(question: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lower-case parts of the object's home, nearest three, and of its own name:
    ``os.path.splitExt`` → (os, path), (split, ext)."""
    found = NAME.search(question)
    home, _, own = (found.group(1) if found else question).rpartition(".")
    return _parts(home)[-3:], _parts(own)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.lower() for part in PART.findall(name)))


def _shared(parts: Sequence[str], words: Sequence[str]) -> float:
    """The share of a name's parts that some word starts like."""
    alike = [any(word == part or (len(part) > 3 and word.startswith(part[:4])) for word in words) for part in parts]
    return sum(alike) / max(1, len(parts))


def words_of(text: str) -> tuple[str, ...]:
    """Stemmed by cutting the commonest endings, so that ``returns`` and ``return`` are one."""
    return tuple(_stem(word) for word in WORD.findall(text.lower()))


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            return word[: -len(ending)]
    return word


def grams(word: str) -> Iterator[str]:
    if len(word) < GRAM:
        if len(word) > 1:
            yield word
        return
    yield from (word[at : at + GRAM] for at in range(len(word) - GRAM + 1))
