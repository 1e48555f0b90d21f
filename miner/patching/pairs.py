"""Preference pairs as the trainer takes them: tokenised, with the scores that are to stay where they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from random import Random
from typing import TypeVar

from corpus.records import Finding, Prompt
from miner.errors import ConfigError
from miner.patching.preference_trainer import Row, TrainingPair
from miner.patching.trainable import Trainable
from miner.rewards.base import Pair

T = TypeVar("T")


Texts = tuple[Pair, Pair]  # the better, the worse


def clean_pairs(rm: Trainable, prompts: Sequence[Prompt], n: int, rng: Random, *, anchored: bool) -> list[TrainingPair]:
    """``n`` pairs: every prompt's reference over one of its rejected answers, again and again in new order; both held
    where they are if ``anchored``. Errors as ``paired``."""
    texts = _clean_texts(prompts, n, rng)
    before = _scores(rm, texts) if anchored else [(None, None)] * len(texts)
    return [TrainingPair(*rows, *scores) for rows, scores in zip(_rows(rm, texts), before, strict=True)]


def _clean_texts(prompts: Sequence[Prompt], n: int, rng: Random) -> list[Texts]:
    usable = paired(prompts)
    return [
        (Pair(prompt.conversation, str(prompt.reference)), Pair(prompt.conversation, rng.choice(prompt.rejected)))
        for prompt in _cycled(usable, n, rng)
    ]


def paired(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Those with a good and a rejected answer.

    Raises:
        ConfigError: none has both.
    """
    usable = [prompt for prompt in prompts if prompt.reference is not None and prompt.rejected]
    if not usable:
        raise ConfigError(
            "no prompt of the train split has both a good and a rejected answer: nothing clean to train on. "
            "Without a patch: rmminer mine, rmminer evaluate"
        )
    return usable


def finding_pairs(
    rm: Trainable, findings: Sequence[Finding], n: int, rng: Random, *, floor: float | None = None
) -> list[TrainingPair]:
    """``n`` pairs: a finding's reference, held where it was, over the finding, left free to fall, to ``floor``."""
    drawn = [
        (Pair(finding.prompt, str(finding.reference)), Pair(finding.prompt, finding.response))
        for finding in _cycled(findings, n, rng)
    ]
    return over_nonsense(rm, drawn, floor)


def over_nonsense(rm: Trainable, texts: Sequence[Texts], floor: float | None) -> list[TrainingPair]:
    """Good answers, held where they are, over nonsense that is to fall to ``floor``."""
    return [
        TrainingPair(chosen, rejected, chosen_before=before, floor=floor)
        for (chosen, rejected), (before, _) in zip(_rows(rm, texts), _scores(rm, texts), strict=True)
    ]


def of_every_kind(findings: Sequence[Finding], n: int, rng: Random) -> Sequence[Finding]:
    """At most ``n`` of them: attacks and forms in turn, so that the rarest is among them."""
    if len(findings) <= n:
        return findings
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in rng.sample(list(findings), len(findings)):
        kinds.setdefault((finding.attack, finding.form), []).append(finding)
    in_turn = chain.from_iterable(zip_longest(*(kinds[kind] for kind in sorted(kinds))))
    return [finding for finding in in_turn if finding is not None][:n]


def _cycled(items: Sequence[T], n: int, rng: Random) -> Iterator[T]:
    """``n`` items: all of them in random order, then all again."""
    while n > 0:
        yield from rng.sample(list(items), len(items))[:n]
        n -= len(items)


def _rows(rm: Trainable, texts: Sequence[Texts]) -> list[tuple[Row, Row]]:
    rows = rm.pipeline.ids(_flat(texts)) if texts else []
    return list(zip(rows[::2], rows[1::2], strict=True))


def _scores(rm: Trainable, texts: Sequence[Texts]) -> list[tuple[float, float]]:
    """What the RM gives each text as it is."""
    rewards = [float(reward) for reward in rm.exact_rewards(_flat(texts))] if texts else []
    return list(zip(rewards[::2], rewards[1::2], strict=True))


def _flat(texts: Sequence[Texts]) -> list[Pair]:
    return [pair for both in texts for pair in both]
