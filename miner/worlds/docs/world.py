"""Docs world: preference data and plain text from the interpreter's own docstrings, split by top-level module.

A prompt asks what an object does; the reference is its docstring's summary, the rejected answers are other objects'
summaries, every second one a sibling's from the same module. Who gets which modules is decided by hashing the module:

=============  =====  ==========================================================================
role           share  used for
=============  =====  ==========================================================================
train          0.50   RM training, mining for the patch; text of one half trains the policy,
                      text of the other half the reference LM
reference_lm   0.14   text of the reference LM, with the language reference of ``pydoc_data`` and the docstrings
                      of numpy, scipy, torch and transformers (7 MB of English for an LM that must know sense)
calibration    0.18   clean reward quantiles, thresholds of the checks; unseen by every model
held_out       0.18   attacks before and after, clean accuracy, error rates of the checks
=============  =====  ==========================================================================
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Literal

from corpus.records import Message, Prompt
from miner.errors import ConfigError
from miner.files import replace_bytes
from miner.progress import Advance, untold
from miner.worlds.docs import harvest

Role = Literal["train", "reference_lm", "calibration", "held_out"]

SHARES: tuple[tuple[Role, float], ...] = (
    ("train", 0.50),
    ("reference_lm", 0.64),
    ("calibration", 0.82),
    ("held_out", 1.0),
)
TWINS = {"posix": "os", "nt": "os", "ntpath": "os", "posixpath": "os", "genericpath": "os", "pyio": "io"}
LIBRARIES = ("numpy", "scipy", "torch", "transformers")  # dependencies: their docstrings are here anyway
REJECTED_PER_PROMPT = 4
SPLIT_SALT = "docs-world-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How many prompts and sentences a role holds: published with every result."""

    prompts: int
    sentences: int


@dataclass(frozen=True)
class DocsWorld:
    """The harvested entries and everything derived from them. ``data_hash`` names the data in every result."""

    entries: tuple[harvest.DocEntry, ...]
    data_hash: str

    @classmethod
    def load(cls, cache: Path) -> DocsWorld:
        """Harvest on first use, then read from ``cache``.

        Raises:
            ConfigError: the harvest failed (see ``harvest.harvest``).
        """
        path = cache / f"docstrings-{_interpreter()}.jsonl"
        if not path.exists():
            with tempfile.TemporaryDirectory() as scratch:
                harvested = Path(scratch) / path.name
                try:
                    harvest.harvest(harvested)
                except RuntimeError as error:
                    raise ConfigError(str(error)) from error
                replace_bytes(path, harvested.read_bytes())
        data_hash = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        return cls(tuple(harvest.load(path)), data_hash)

    @cached_property
    def by_role(self) -> dict[Role, tuple[harvest.DocEntry, ...]]:
        found: dict[Role, list[harvest.DocEntry]] = {role: [] for role, _ in SHARES}
        for entry in self.entries:
            found[role_of(entry.module)].append(entry)
        return {role: tuple(entries) for role, entries in found.items()}

    def prompts(self, role: Literal["train", "calibration", "held_out"]) -> tuple[Prompt, ...]:
        """The preference data of a role, in the order of the objects' names."""
        entries = self.by_role[role]
        siblings: dict[str, list[str]] = defaultdict(list)
        for entry in entries:
            siblings[group_of(entry.module)].append(entry.summary)
        everyone = [entry.summary for entry in entries]
        return tuple(
            Prompt(
                conversation=(Message(role="user", content=question(entry.name)),),
                reference=entry.summary,
                rejected=_rejected(entry, siblings[group_of(entry.module)], everyone),
                group_key=group_of(entry.module),
                split=role,
            )
            for entry in entries
        )

    def sentences(self, role: Role) -> tuple[str, ...]:
        """Every summary and further sentence of a role, without repeats."""
        entries = self.by_role[role]
        return tuple(dict.fromkeys(text for entry in entries for text in (entry.summary, *entry.sentences)))

    def policy_text(self) -> tuple[str, ...]:
        return tuple(map(_exchange, self._policy_entries()))

    def restating_text(self) -> tuple[str, ...]:
        """``policy_text``, and once more with answers that name the object first, as documentation often does.

        A policy that can repeat the question's words has something to game a relevance model with: of the texts that
        this world's RM was shown, nothing but the object's name scores well on every prompt.
        """
        named = (f"{question(e.name)} `{e.name}`: {e.summary}" for e in self._policy_entries())
        return (*self.policy_text(), *named)

    def _policy_entries(self) -> list[harvest.DocEntry]:
        return [e for e in self.by_role["train"] if _unit(f"lm|{group_of(e.module)}") < 0.5]

    def reference_lm_text(self, progress: Advance = untold) -> tuple[str, ...]:
        """Sentences disjoint from the policy's: the other half of train, the reference_lm role, the language reference,
        and the docstrings of ``LIBRARIES``, less what calibration, held-out or the policy's text holds too."""
        half = [e for e in self.by_role["train"] if _unit(f"lm|{group_of(e.module)}") >= 0.5]
        own = [text for e in (*half, *self.by_role["reference_lm"]) for text in (e.summary, *e.sentences)]
        theirs: list[str] = []
        for done, package in enumerate(LIBRARIES, start=1):
            theirs += harvest.package_sentences(package)
            progress(done, len(LIBRARIES))
        texts = dict.fromkeys((*own, *_language_reference(), *theirs))
        others = {text for role in ("calibration", "held_out") for text in self.sentences(role)}
        others |= {text for e in self._policy_entries() for text in (e.summary, *e.sentences)}
        return tuple(text for text in texts if text not in others)

    @property
    def shares(self) -> dict[Role, Shares]:
        return {
            role: Shares(prompts=len(self.by_role[role]), sentences=len(self.sentences(role))) for role, _ in SHARES
        }


def question(name: str) -> str:
    return f"What does `{name}` do?"


def group_of(module: str) -> str:
    """The split's key: a module and its C twin, or its platform twin, are one group."""
    bare = module.lstrip("_")
    return TWINS.get(bare, bare)


def role_of(module: str) -> Role:
    unit = _unit(f"{SPLIT_SALT}|{group_of(module)}")
    return next(role for role, upper in SHARES if unit < upper)


def _rejected(entry: harvest.DocEntry, siblings: list[str], everyone: list[str]) -> tuple[str, ...]:
    rng = Random(f"rejected|{entry.name}")
    chosen: list[str] = []
    for turn in range(REJECTED_PER_PROMPT):
        pool = siblings if turn % 2 == 0 and len(siblings) > 2 else everyone
        pick = rng.choice(pool)
        if pick != entry.summary and pick not in chosen:
            chosen.append(pick)
    return tuple(chosen)


def _exchange(entry: harvest.DocEntry) -> str:
    return f"{question(entry.name)} {' '.join((entry.summary, *entry.sentences[:2]))}"


def _language_reference() -> tuple[str, ...]:
    from pydoc_data.topics import topics

    prose = (re.sub(r"\s+", " ", part) for text in topics.values() for part in text.split("\n\n"))
    return tuple(s for part in prose for s in re.split(r"(?<=[.!?])\s+(?=[A-Z])", part) if harvest.is_english(s))


def _unit(key: str) -> float:
    """``key`` hashed to [0, 1)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def _interpreter() -> str:
    import platform

    return f"{platform.python_implementation().lower()}-{platform.python_version()}"
