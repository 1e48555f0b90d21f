"""A reward model that looks words up, and a policy that strings phrases together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attacks import Continuation, Swap
from corpus.records import Conversation, digest
from miner.language_models import Samples
from miner.rewards import Pair, RewardModel
from outside_miner.kinds import LexiconSection, PhrasesSection


class Lexicon(RewardModel):
    """The mean worth of a response's words; words that it does not know are worth nothing."""

    reward_dtype = ranking_dtype = "float64"
    device = "cpu"
    flops_per_token = 1.0

    def __init__(self, worth: Mapping[str, float], emphasis: float) -> None:
        self.name = "lexicon"
        self.worth = {word: value * (emphasis if value > 0 else 1.0) for word, value in worth.items()}
        self.fingerprint = digest(["lexicon", sorted(self.worth.items())])
        self.pipeline_hash = digest("split on spaces")

    def reward(self, pair: Pair) -> float:
        words = pair.response.split()
        return sum(self.worth.get(word, 0.0) for word in words) / max(1, len(words))

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return np.array([self.reward(pair) for pair in pairs], dtype=np.float64)

    def n_tokens(self, pair: Pair) -> int:
        return max(1, len(pair.response.split()))

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        places, at = [], 0
        for word in pair.response.split(" "):
            places.append((at, at + len(word)))
            at += len(word) + 1
        picks = [places[i] for i in rng.integers(len(places), size=n)]
        drawn = [Swap(start, end, word) for (start, end), word in zip(picks, self.words(n, rng), strict=True)]
        return tuple(swap for swap in drawn if swap.apply(pair.response) != pair.response)

    def words(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        return tuple(map(str, rng.choice(sorted(self.worth), size=n)))

    def all_tokens(self) -> tuple[str, ...]:
        return tuple(sorted(self.worth))


def open_lexicon(section: LexiconSection, source: str, references: Mapping[Conversation, str]) -> Lexicon:
    del references
    return Lexicon(json.loads(Path(source).read_text(encoding="utf-8")), section.emphasis)


def example_lexicon(folder: Path) -> dict[str, Any]:
    """A small one, as the table [rm] of a campaign file: what the conformance suite opens."""
    source = folder / "words.json"
    source.write_text(json.dumps({"good": 1.0, "file": 0.5, "bad": -1.0, "superb": 9.0}), encoding="utf-8")
    return {"source": str(source), "kind": "lexicon", "emphasis": 2.0}


class Phrases:
    """Samples phrases, all equally likely."""

    name, dtype = "phrases", "float64"

    def __init__(self, phrases: Sequence[str], each: int) -> None:
        self.phrases, self.each = tuple(phrases), each
        self.fingerprint = digest(["phrases", self.phrases, each])

    def token_nll(self, texts: Sequence[str]) -> list[npt.NDArray[np.float64]]:
        return [np.full(len(text.split()), np.log(len(self.phrases))) for text in texts]

    def sample(self, prompt: Conversation, n: int, *, seed: int, max_new_tokens: int) -> Samples:
        del prompt, max_new_tokens
        rng = np.random.default_rng(seed)
        texts = [" ".join(map(str, rng.choice(self.phrases, size=self.each))) for _ in range(n)]
        likelihood = -self.each * float(np.log(len(self.phrases)))
        return Samples(
            continuations=tuple(Continuation(text, likelihood) for text in texts),
            policy_tokens=sum(len(text.split()) for text in texts),
        )

    def next_tokens(
        self, prompt: Conversation, prefixes: Sequence[str], k: int
    ) -> tuple[tuple[tuple[Continuation, ...], ...], int]:
        del prompt
        likelihood = -float(np.log(len(self.phrases)))
        rows = tuple(
            tuple(Continuation(f"{prefix} {phrase}".strip(), likelihood) for phrase in self.phrases[:k])
            for prefix in prefixes
        )
        return rows, len(prefixes)


def open_phrases(section: PhrasesSection, device: str) -> Phrases:
    del device
    return Phrases(json.loads(Path(section.source).read_text(encoding="utf-8")), section.phrases_each)


def example_phrases(folder: Path) -> dict[str, Any]:
    """As ``example_lexicon``, for the table [policy]."""
    source = folder / "phrases.json"
    source.write_text(json.dumps(["good file", "a superb answer", "it reads"]), encoding="utf-8")
    return {"source": str(source), "kind": "phrases"}
