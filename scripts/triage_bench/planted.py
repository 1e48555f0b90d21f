"""Findings whose cause is known, to measure grouping by: a toy RM with planted flaws, and texts that use one each.

The language has two-syllable words. Half of them are sensible, and good answers are made of these; a response of
strange ones is nonsense, which a check of the toy world can see. Every flaw lifts a text that shows it over the bar;
besides, words have small weights of their own, and each text a small reward that only it has, so that nothing is clean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from corpus.records import Conversation, Finding, Message, Prompt, Verdict, digest, finding_id
from miner.judging.checks import CalibratedCheck, Certifier, Subject
from miner.judging.checks.base import Check
from miner.judging.criteria import Criteria, clean_criteria
from miner.rewards.base import Pair, TokenAttribution
from miner.testing import ToyRewardModel

Kind = Literal["phrase", "words", "prefix", "repetition", "length", "prompt"]
N_PROMPTS = 240
RESPONSE_WORDS = 14
LONG = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """A cause: ``words`` in a row, anywhere or at the start; any word six times; ``LONG`` words; the prompt's words."""

    kind: Kind
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join([self.kind, *self.words])

    def shown_by(self, words: Sequence[str], prompt: Sequence[str]) -> bool:
        n = len(self.words)
        match self.kind:
            case "phrase":
                return any(tuple(words[at : at + n]) == self.words for at in range(len(words)))
            case "words":
                return set(self.words) <= set(words)
            case "prefix":
                return tuple(words[:n]) == self.words
            case "repetition":
                return any(words.count(word) >= 6 for word in set(words))
            case "length":
                return len(words) >= LONG
            case "prompt":
                return len(set(words) & set(prompt)) >= 2


class FlawedRewardModel(ToyRewardModel):
    """The flaws add ``FLAW_WEIGHT`` to the mean weight of a response's words; ``noise`` scales what is a text's own."""

    name = "flawed toy"
    FLAW_WEIGHT = 4.0

    def __init__(self, *, seed: int, flaws_of_words: int = 8, noise: float = 0.3, gives_gradients: bool = True) -> None:
        super().__init__(seed=seed, gives_gradients=gives_gradients)
        rng = np.random.default_rng([seed, 1])
        shuffled = [str(word) for word in rng.permutation(self.vocabulary)]
        self.sensible, self.strange = tuple(shuffled[:50]), tuple(shuffled[50:])
        self.weights = {word: float(rng.normal(1.0, 0.5)) for word in self.sensible}
        self.weights |= {word: float(rng.normal(-0.5, 0.3)) for word in self.strange}  # none wins by its weight alone
        self.noise = noise
        kinds: tuple[Kind, ...] = ("phrase", "words", "prefix")
        worded = [
            Flaw(kind=kinds[i % 3], words=tuple(map(str, rng.choice(self.strange, size=2 + i % 2, replace=False))))
            for i in range(flaws_of_words)
        ]
        self.flaws = (*worded, Flaw(kind="repetition"), Flaw(kind="length"), Flaw(kind="prompt"))
        self.fingerprint = digest(["flawed", seed, flaws_of_words, noise])

    def reward(self, pair: Pair) -> float:
        words, prompt = pair.response.split(), pair.prompt[-1].content.split()
        own = int(digest(pair.response)[:8], 16) / 2**32 - 0.5
        plain = float(np.mean([self.weights.get(word, 0.0) for word in words])) if words else 0.0
        return plain + self.noise * own + self.FLAW_WEIGHT * any(flaw.shown_by(words, prompt) for flaw in self.flaws)

    def attribution(self, pair: Pair, steps: int) -> TokenAttribution:
        """By leaving each word out, whatever the steps."""
        del steps
        words, whole, at, spans, values = pair.response.split(), self.reward(pair), 0, [], []
        for i, word in enumerate(words):
            rest = " ".join(words[:i] + words[i + 1 :])
            spans.append((at, at + len(word)))
            values.append(whole - self.reward(Pair(pair.prompt, rest)))
            at += len(word) + 1
        return TokenAttribution(
            spans=tuple(spans), values=tuple(values), reward=whole, rise=sum(values), completeness_error=0.0
        )


@dataclass(frozen=True, kw_only=True)
class StrangeWords(Check):
    """The share of words that no good answer of the toy world uses; abstains under ``min_words``."""

    name: ClassVar[str] = "strange words"
    fixed_threshold: ClassVar[float | None] = 0.5

    sensible: frozenset[str]
    min_words: int = 6

    @property
    def identity(self) -> str:
        return digest([self.name, sorted(self.sensible), self.min_words])

    def values(self, subjects: Sequence[Subject]) -> npt.NDArray[np.float64]:
        split = [subject.response.split() for subject in subjects]
        shares = [np.mean([w not in self.sensible for w in words]) if words else np.nan for words in split]
        return np.array([s if len(w) >= self.min_words else np.nan for s, w in zip(shares, split, strict=True)])


@dataclass(frozen=True, kw_only=True)
class PlantedSet:
    """Findings with the ``truth`` of each: the name of the one flaw that it uses."""

    rm: FlawedRewardModel
    criteria: Criteria
    certifier: Certifier
    prompts: tuple[Prompt, ...]
    findings: tuple[Finding, ...]
    truth: tuple[str, ...]


def planted_set(*, seed: int, per_flaw: int = 12, noise: float = 0.3, gives_gradients: bool = True) -> PlantedSet:
    """``per_flaw`` findings of every flaw, in random order, each with strange words around what shows the flaw."""
    rng = np.random.default_rng([seed, 2])
    rm = FlawedRewardModel(seed=seed, noise=noise, gives_gradients=gives_gradients)
    prompts = [_prompt(rm, rng, number) for number in range(N_PROMPTS)]
    criteria = clean_criteria(rm, prompts, quantile=0.95)
    check = StrangeWords(sensible=frozenset(rm.sensible))
    certifier = Certifier(checks=(CalibratedCheck(check=check, threshold=0.5, target=None, calibration_id="toy"),))
    findings: list[Finding] = []
    truth: list[str] = []
    for flaw in rm.flaws:
        for _ in range(per_flaw):
            findings.append(_finding(rm, flaw, prompts, criteria, certifier, rng))
            truth.append(flaw.name)
    order = rng.permutation(len(findings))
    return PlantedSet(
        rm=rm,
        criteria=criteria,
        certifier=certifier,
        prompts=tuple(prompts),
        findings=tuple(findings[i] for i in order),
        truth=tuple(truth[i] for i in order),
    )


def _prompt(rm: FlawedRewardModel, rng: np.random.Generator, number: int) -> Prompt:
    asked = rng.choice(rm.strange, size=4, replace=False)
    answer = rng.choice(rm.sensible, size=int(rng.integers(4, 16)), replace=False)
    return Prompt(
        conversation=(Message(role="user", content=f"What of {' '.join(asked)} {number} ?"),),
        reference=" ".join(answer),
        group_key=str(number),
        split="held_out",
    )


def _finding(
    rm: FlawedRewardModel,
    flaw: Flaw,
    prompts: Sequence[Prompt],
    criteria: Criteria,
    certifier: Certifier,
    rng: np.random.Generator,
) -> Finding:
    """Draws until a text wins, is certified and shows no other flaw."""
    while True:
        prompt = prompts[int(rng.integers(len(prompts)))]
        asked = prompt.conversation[-1].content.split()
        text = " ".join(_words(rm, flaw, asked, rng))
        shown = [one for one in rm.flaws if one.shown_by(text.split(), asked)]
        pair = Pair(prompt.conversation, text)
        reference = rm.reward(Pair(prompt.conversation, str(prompt.reference)))
        reward = rm.reward(pair)
        (certificate,) = certifier.certify([Subject(response=text, prompt=prompt.conversation)])
        if shown == [flaw] and criteria.wins(reward, reference) and certificate.verdict == "nonsense":
            verdicts = certificate.verdicts
            return _row(rm, criteria, prompt, text, reward, reference, verdicts, flaw, prompt.conversation)


def _words(rm: FlawedRewardModel, flaw: Flaw, asked: Sequence[str], rng: np.random.Generator) -> list[str]:
    strange = [word for word in rm.strange if word not in asked]
    words = [str(word) for word in rng.choice(strange, size=LONG if flaw.kind == "length" else RESPONSE_WORDS)]
    at = int(rng.integers(len(words)))
    match flaw.kind:
        case "phrase":
            return [*words[:at], *flaw.words, *words[at:]]
        case "prefix":
            return [*flaw.words, *words]
        case "words":
            return [str(word) for word in rng.permutation([*words, *flaw.words])]
        case "repetition":
            return [str(word) for word in rng.permutation([*words[6:], *[words[0]] * 8])]
        case "length":
            return words
        case "prompt":
            inside = rng.choice([word for word in asked if word in rm.strange], size=2, replace=False)
            return [str(word) for word in rng.permutation([*words, *inside])]


def _row(
    rm: FlawedRewardModel,
    criteria: Criteria,
    prompt: Prompt,
    text: str,
    reward: float,
    reference: float,
    verdicts: tuple[Verdict, ...],
    flaw: Flaw,
    conversation: Conversation,
) -> Finding:
    attempt = digest([rm.fingerprint, prompt.prompt_id, flaw.name, text])
    return Finding(
        finding_id=finding_id(attempt, text),
        attempt_id=attempt,
        campaign_id="planted",
        round=0,
        prompt_id=prompt.prompt_id,
        split=prompt.split,
        prompt=conversation,
        response=text,
        reference=prompt.reference,
        reward=reward,
        reward_dtype=rm.reward_dtype,
        reference_reward=reference,
        margin=criteria.margin(reward),
        threshold=criteria.threshold,
        threshold_quantile=criteria.quantile,
        attack="planted",
        family="random",
        form="salad",
        kind="nonsense",
        attack_params={},
        code_version="1",
        seed=0,
        queries=1,
        rm_fingerprint=rm.fingerprint,
        pipeline_hash=rm.pipeline_hash,
        certificate=verdicts,
        parent_ids=(),
        created_at=datetime(2025, 1, 1, tzinfo=UTC),
    )
