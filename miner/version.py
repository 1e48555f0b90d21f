"""Which code made an attempt: what decides its attack's search, and nothing else."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from attacks import (
    AllTokens,
    Answers,
    Attack,
    Attribute,
    Likelihoods,
    NextTokens,
    RandomSwaps,
    Relax,
    Sample,
    Score,
    Seeds,
    Swaps,
    Tasks,
    Words,
)
from corpus.records import digest
from miner.source import code_digest, imported_within, names_in

SEARCHING = ("miner.driver", "miner.oracle", "miner.attempts", "miner.criteria", "corpus.duplicates")
"""What decides every search: what it is told, when it ends and what it finds."""


def _in(package: str, names: str) -> tuple[str, ...]:
    return tuple(f"{package}.{name}" for name in names.split())


_SCORING = (
    *_in("miner.rewards", "base pipeline template_pipeline transformer encoder causal prefix_cache readout headed"),
    *_in("miner.rewards", "objectives own_code answers pairwise comparers pairrm judge process"),
    *_in("miner.remote", "reward_model endpoints answers"),
)
_EDITING = ("miner.rewards.swaps", "miner.rewards.vocabulary", "miner.remote.words")
_POLICY = ("miner.language_models.model",)

ANSWERING: dict[type, tuple[str, ...]] = {
    Score: _SCORING,
    Swaps: (*_EDITING, "miner.rewards.gradients"),
    Attribute: ("miner.rewards.attribution",),
    Relax: (*_EDITING, "miner.rewards.relaxation", "attacks.climb"),
    RandomSwaps: _EDITING,
    AllTokens: _EDITING,
    Words: ("miner.rewards.vocabulary", "miner.remote.words"),
    Sample: _POLICY,
    NextTokens: _POLICY,
    Likelihoods: _POLICY,
    Tasks: (),
    Answers: (),
    Seeds: (),
}
"""The modules that decide the answers to each type of query, beside those in ``SEARCHING``.

What is part of an attempt's identity as data is not here: weights, templates, the checks, the policy, the seeds.
"""

_ASKING = ("attacks.queries", "attacks.base")  # the queries themselves: every search is made of them


@cache
def package_version() -> str:
    return version("rmminer")


def code_version(attack: Attack) -> str:
    """The package's version and a digest of the code that decides this attack's search: ``0.1.0+1a2b3c4d``."""
    return f"{package_version()}+{search_digest(type(attack))[:8]}"


@cache
def search_digest(attack: type[Attack]) -> str:
    """Digest of the attack's module, of those that it imports within ``attacks`` and its own package, and of what
    answers the types of query that they name."""
    own = imported_within(attack.__module__, ("attacks", attack.__module__.split(".")[0]))
    named = {name for module in own - set(_ASKING) for name in names_in(module)}
    asked = [kind for kind in ANSWERING if kind.__name__ in named or kind in attack.needs]
    modules = own.union(_ASKING, SEARCHING, *(ANSWERING[kind] for kind in asked))
    return digest([code_digest(module) for module in sorted(modules)])
