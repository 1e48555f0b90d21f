"""Docs world's second reward model: no network, no weights of the first, and nothing but counts of words.

What an answer is worth, as a Bradley–Terry mixture of measures learnt by counting:

* how well the object's name *translates* into it, by IBM model 1 (Brown et al. 1993): ``mkdir`` says "directory";
* how much of its spelling the name shares, rare pieces counting more, and how many of its parts;
* how likely its words follow each other, by interpolated bigrams: this one dislikes salad;
* how long it is.

The counts are of the libraries that are installed anyway, names with their summaries, which the first RM never saw;
the weights are fitted on pairs of docs world's train split, which the counts never saw (fitted on text that the counts
know, translation looks better than it is: 69 % of held-out pairs instead of 88 %).
"""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from corpus.records import Prompt, digest
from miner.files import replace_text
from miner.rewards.base import Pair
from miner.worlds.docs.harvest import sentences

Floats = npt.NDArray[np.float64]

NAME = re.compile(r"`([^`]+)`")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
WORD = re.compile(r"[a-z]+|\d+|[^\sa-z\d]")
EM_ROUNDS = 4
NULL = ""  # the part of a name that explains words no part does
GRAM = 4
RIDGE = 1e-3
MIN_TRANSLATION = 5e-4  # translations below it are left out of the file
MAX_WORDS = 40
MEASURES = ("translation", "module", "spelling", "module spelling", "parts", "module parts", "fluency", "length")
EMPTY = (-1.0, -1.0, 0.0, 0.0, 0.0, 0.0, -12.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class LexicalRewardModel:
    """Scores only. ``fingerprint`` names everything it has counted."""

    name: str
    fingerprint: str
    translations: Mapping[str, Mapping[str, float]]  # p(word | part of a name)
    unigrams: Mapping[str, float]
    bigrams: Mapping[str, Mapping[str, float]]  # p(word | word before)
    rarity: Mapping[str, float]  # of spelling pieces: inverse document frequency
    weights: tuple[float, ...]

    def exact_rewards(self, pairs: Sequence[Pair]) -> Floats:
        """Rewards, shape (n_pairs,)."""
        measured = np.array([self.measures(pair) for pair in pairs]).reshape(len(pairs), len(self.weights))
        rewards: Floats = measured @ np.array(self.weights)
        return rewards

    def measures(self, pair: Pair) -> tuple[float, ...]:
        """What the reward is a weighted sum of, in the order of ``MEASURES``."""
        module, name = parts_of(pair.prompt[-1].content)
        words = words_of(pair.response)
        if not words:
            return EMPTY
        return (
            self._translation(name, words),
            self._translation(tuple(map(in_module, module)), words),
            self._spelling(name, words),
            self._spelling(module, words),
            _shared(name, words),
            _shared(module, words),
            self._fluency(words),
            math.log1p(min(len(words), MAX_WORDS)),
        )

    def _translation(self, parts: Sequence[str], words: Sequence[str]) -> float:
        """Mean log ratio of a word's probability given the part that explains it best to its plain one, each word once;
        half of every word is left to chance."""
        tables = [self.translations.get(part, {}) for part in parts]
        plain = [(word, self.unigrams.get(word, self.unigrams[NULL])) for word in dict.fromkeys(words)]
        best = [(max((table.get(word, 0.0) for table in tables), default=share), share) for word, share in plain]
        return float(np.mean([math.log((given + share) / (2 * share)) for given, share in best]))

    def _spelling(self, parts: Sequence[str], words: Sequence[str]) -> float:
        theirs = {gram for word in words for gram in grams(word)}
        mine = {gram for part in parts for gram in grams(part)}
        unseen = self.rarity[NULL]
        total = sum(self.rarity.get(gram, unseen) for gram in mine)
        return sum(self.rarity.get(gram, unseen) for gram in mine & theirs) / total if mine else 0.0

    def _fluency(self, words: Sequence[str]) -> float:
        """Mean log-probability of a word after the one before, interpolated with its plain one."""
        found = []
        for before, word in zip((NULL, *words), words, strict=False):
            plain = self.unigrams.get(word, self.unigrams[NULL])
            found.append(math.log(0.7 * self.bigrams.get(before, {}).get(word, 0.0) + 0.3 * plain))
        return float(np.mean(found))

    def save(self, path: Path) -> None:
        """All counts as one JSON file."""
        fields = ("translations", "unigrams", "bigrams", "rarity", "weights")
        replace_text(path, json.dumps({name: getattr(self, name) for name in fields}))

    @classmethod
    def load(cls, path: Path) -> LexicalRewardModel:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text)
        return cls(name="lexical", fingerprint=digest(text), **{**raw, "weights": tuple(raw["weights"])})


def train_lexical(
    named: Sequence[tuple[str, str]], prompts: Sequence[Prompt], *, out: Path, seed: int
) -> LexicalRewardModel:
    """Count on ``named`` (object's name, summary), weigh the measures on pairs of ``prompts``, save to ``out``.

    Beside the rejected answers the reference's own words shuffled lose too: order is worth something to it.
    """
    examples = [(_sources(name), words_of(summary)) for name, summary in named]
    unigrams, bigrams = _language([words for _, words in examples])
    counts = {
        "translations": _translate(examples, unigrams),
        "unigrams": unigrams,
        "bigrams": bigrams,
        "rarity": _rarity([words for _, words in examples]),
    }
    unweighed = {"name": "lexical", "fingerprint": "", "weights": (0.0,) * len(EMPTY)}
    plain = LexicalRewardModel(**unweighed, **counts)  # type: ignore[arg-type]
    rng = Random(seed)
    differences = []
    for prompt in prompts:
        if prompt.reference is None:
            continue
        words = prompt.reference.split()
        good = np.array(plain.measures(Pair(prompt.conversation, prompt.reference)))
        losing = (*prompt.rejected, " ".join(rng.sample(words, len(words))))
        differences += [good - plain.measures(Pair(prompt.conversation, other)) for other in losing]
    LexicalRewardModel(**{**vars(plain), "weights": _bradley_terry(np.array(differences))}).save(out)
    return LexicalRewardModel.load(out)


def _sources(name: str) -> tuple[str, ...]:
    module, own = parts_of(f"`{name}`")
    return (*map(in_module, module), *own)


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


def in_module(part: str) -> str:
    """A module's name says other things than a function's."""
    return f"in {part}"


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


def _language(texts: Sequence[Sequence[str]]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    counts = Counter(word for words in texts for word in words)
    total = sum(counts.values()) + 1
    follows: dict[str, Counter[str]] = defaultdict(Counter)
    for words in texts:
        for before, word in zip((NULL, *words), words, strict=False):
            follows[before][word] += 1
    bigrams = {
        before: {word: n / (after.total() + 1) for word, n in after.items()} for before, after in follows.items()
    }
    return {**{word: n / total for word, n in counts.items()}, NULL: 0.5 / total}, bigrams


def _rarity(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    seen = Counter(gram for words in texts for gram in {gram for word in words for gram in grams(word)})
    return {**{gram: math.log((1 + len(texts)) / n) for gram, n in seen.items()}, NULL: math.log(1 + len(texts))}


def _translate(
    examples: Sequence[tuple[Sequence[str], Sequence[str]]], unigrams: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """p(word | part) by expectation maximisation, started from the words' own frequencies."""
    table: dict[str, dict[str, float]] = {}
    for _ in range(EM_ROUNDS):
        expected: dict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        for parts, words in examples:
            sources = (NULL, *parts)
            for word in set(words):
                shares = [table.get(part, unigrams).get(word, 0.0) for part in sources]
                total = sum(shares) or 1.0
                for part, share in zip(sources, shares, strict=True):
                    expected[part][word] += share / total
        table = {}
        for part, of_part in expected.items():
            total = sum(of_part.values()) + 1.0
            table[part] = {word: n / total for word, n in of_part.items() if n / total > MIN_TRANSLATION}
    return table


def _bradley_terry(differences: Floats) -> tuple[float, ...]:
    """The weights under which good answers win, by ridge-penalised maximum likelihood."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        margins = differences @ weights
        gradient = -(differences * (1 / (1 + np.exp(margins)))[:, None]).mean(0) + 2 * RIDGE * weights
        return float(np.logaddexp(0, -margins).mean() + RIDGE * weights @ weights), gradient

    return tuple(map(float, minimize(loss, np.zeros(differences.shape[1]), jac=True, method="L-BFGS-B").x))
