"""Which code made an attempt: what decides its attack's search, and nothing else."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from attacks import (
    AllTokens,
    Answers,
    Attack,
    Attribute,
    Carried,
    Likelihoods,
    NextTokens,
    RandomSwaps,
    Relax,
    Sample,
    Score,
    Seeds,
    SurrogateSwaps,
    Swaps,
    Tasks,
    Words,
)
from corpus.records import digest
from miner.searching.source import code_digest, imported_within, names_in

SEARCHING = (
    "miner.searching.driver",
    "miner.searching.running",
    "miner.searching.scoring",
    "miner.searching.confirmation",
    "miner.searching.oracle",
    "miner.searching.attempts",
    "miner.judging.criteria",
    "corpus.duplicates",
)
"""What decides every search: what it is told, when it ends and what it finds."""


_SCORING = (
    "miner.rewards.base",
    "miner.rewards.text.pipeline",
    "miner.rewards.text.template_pipeline",
    "miner.rewards.compute.forward",
    "miner.rewards.adapters.transformer",
    "miner.rewards.adapters.encoder",
    "miner.rewards.adapters.forwarded",
    "miner.rewards.adapters.causal",
    "miner.rewards.compute.prefix_cache",
    "miner.rewards.compute.readout",
    "miner.rewards.loading.headed",
    "miner.rewards.loading.objectives",
    "miner.rewards.adapters.own_code",
    "miner.rewards.adapters.answers",
    "miner.rewards.adapters.pairwise",
    "miner.rewards.adapters.comparers",
    "miner.rewards.adapters.pairrm",
    "miner.rewards.adapters.judge",
    "miner.rewards.adapters.process",
    "miner.rewards.remote.reward_model",
    "miner.rewards.remote.endpoints",
    "miner.rewards.remote.answers",
    "miner.rewards.remote.judge",
)
_EDITING = ("miner.rewards.text.swaps", "miner.rewards.text.vocabulary", "miner.rewards.remote.words")
_POLICY = ("miner.language_models.batches", "miner.language_models.model")

_SWAPPING = (*_EDITING, "miner.rewards.compute.gradients", "miner.rewards.compute.gradient_swaps")

ANSWERING: dict[type, tuple[str, ...]] = {
    Score: _SCORING,
    Swaps: _SWAPPING,
    SurrogateSwaps: _SWAPPING,
    Attribute: ("miner.rewards.compute.attribution",),
    Relax: (*_EDITING, "miner.rewards.compute.relaxation", "attacks.climb"),
    RandomSwaps: _EDITING,
    AllTokens: _EDITING,
    Words: ("miner.rewards.text.vocabulary", "miner.rewards.remote.words"),
    Sample: _POLICY,
    NextTokens: _POLICY,
    Likelihoods: _POLICY,
    Tasks: (),
    Answers: (),
    Seeds: (),
    Carried: (),
}
"""The modules that decide the answers to each type of query, beside those in ``SEARCHING``.

What is part of an attempt's identity as data is not here: weights, templates, the certifier with its code, the policy,
the texts to start from.
"""

_ASKING = ("attacks.queries", "attacks.base")  # the queries themselves: every search is made of them


_JUDGING = ("miner.judging.checks.verdict", "miner.judging.forms", "miner.language_models.ngram", *_POLICY)
"""What decides a verdict and its name beside the checks: how their answers are put together, and how an LM reads."""


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


@cache
def judging_digest(checks: tuple[str, ...]) -> str:
    """Digest of the code behind a verdict: the modules of the checks, and what they import of the judging room and of
    their own packages."""
    modules = set(_JUDGING)
    for module in checks:
        own = imported_within(module, ("miner", module.split(".")[0]))
        modules |= {one for one in own if not one.startswith("miner.") or one.startswith("miner.judging.")}
    return digest([code_digest(module) for module in sorted(modules)])
