"""True statements with one fact swapped, each with the proof that the swapped one is false.

=======  ======================================================================================================
kind     what is swapped, and the only proof that is accepted
=======  ======================================================================================================
name     "In hashlib, file_digest: …" names another object of the world; the running interpreter has no such
         object in that module (looked up by import)
module   the same statement names another module, which has no such object (the same look-up)
number   a number where it can have one value alone ("2-tuple", "base 10", "two files"; no document numbers, as another
         RFC may say the same); the docstring itself says another one, the sentence hedges nowhere and holds no
         second number, and the docstring nowhere names the new one
type     "Return a list of …" at the head of a sentence; the docstring says another built-in type, of which the
         new one is no relative (``issubclass``), and nowhere names the new one or an alternative ("or")
=======  ======================================================================================================

Where the proof fails there is no fact: the sentence is left out, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Literal, get_args

from annotated_types import MinLen
from pydantic import BaseModel, model_validator

from corpus.records import Prompt
from miner.files import read_rows
from miner.measuring.diversity.response_sets import GivenPrompt
from miner.measuring.gap import proofs
from miner.worlds.docs.harvest import DocEntry

Kind = Literal["name", "number", "type", "module"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_FACTS = 300

NUMERALS = ("two", "three", "four", "five", "six", "seven")
COUNTED = "items|elements|arguments|values|integers|strings|lists|dictionaries|bytes|characters|digits|columns|tuples|"
COUNTED += "iterators|sequences|files|directories|numbers|objects|operands|modules|sets|functions|lines|words"
NUMBER = re.compile(
    r"\bbase[- ]?(?P<base>\d+)\b|\b(?P<size>\d+)-(?:bit|byte|tuple|element|item|digit|column)s?\b"
    rf"|\bSHA-(?P<hash>\d+)\b|\b(?P<numeral>{'|'.join(NUMERALS)})(?= (?:{COUNTED})\b)"
)
ANY_NUMBER = re.compile(rf"\d+|\b(?:{'|'.join(NUMERALS)})\b")
HEDGE = re.compile(
    r"\b(at least|at most|up to|more than|less than|fewer|or|between|default|e\.g|such as|may|like|about|any|also)\b",
    re.IGNORECASE,
)
TYPES: dict[str, type] = {
    "string": str,
    "list": list,
    "tuple": tuple,
    "dictionary": dict,
    "integer": int,
    "float": float,
    "boolean": bool,
}
TYPE = re.compile(
    rf"^Returns? (?P<article>an?|the) (?P<type>{'|'.join(TYPES)})"
    r"(?=\s+(?:of|containing|with|that|which|whose|describing|representing|listing|consisting|suitable|from)\b|[.,;]|\s\()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A true answer to a prompt, the same with one fact swapped, and why that is false."""

    prompt: Prompt
    kind: str
    true: str
    false: str
    original: str
    swapped: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """``abstained`` counts by kind the swaps that were proposed and could not be proven false."""

    facts: tuple[Fact, ...]
    abstained: dict[str, int]


def docs_facts(pairs: Sequence[tuple[Prompt, DocEntry]], *, seed: int, at_most: int = MAX_FACTS) -> Facts:
    """Facts about docs world's objects: at most one of each kind for each, and ``at_most`` of a kind."""
    rng = Random(f"facts|{seed}")
    drawn = rng.sample(list(pairs), min(at_most, len(pairs)))
    found = _by_lookup(drawn, rng)
    abstained = {kind: len(drawn) - sum(fact.kind == kind for fact in found) for kind in ("name", "module")}
    makers: tuple[tuple[Kind, re.Pattern[str], Callable[..., Fact | None]], ...] = (
        ("number", ANY_NUMBER, _number),
        ("type", re.compile(rf"^Returns? \w+ (?:{'|'.join(TYPES)})\b"), _type),
    )
    for kind, candidate, make in makers:
        made = []
        for prompt, entry in pairs:
            sentences = [one for one in (entry.summary, *entry.sentences) if candidate.search(one)]
            facts = [fact for one in sentences if (fact := make(prompt, entry, one, rng)) is not None]
            made += facts[:1]
            abstained[kind] = abstained.get(kind, 0) + int(bool(sentences) and not facts)
        found += made[:at_most]
    return Facts(facts=tuple(found), abstained=abstained)


def _by_lookup(pairs: Sequence[tuple[Prompt, DocEntry]], rng: Random) -> list[Fact]:
    """Name and module swaps: proposed for every object, kept where nothing exists under the swapped name."""
    places = proofs.places([entry.name for _, entry in pairs])
    known = [place for place in places if place is not None]
    proposed: list[tuple[Prompt, DocEntry, proofs.Place, proofs.Place, Kind]] = []
    for (prompt, entry), place in zip(pairs, places, strict=True):
        if place is None:
            continue
        strangers = [other for other in known if other[0] != place[0] and other[1] != place[1]]
        if strangers:
            proposed.append((prompt, entry, place, (place[0], rng.choice(strangers)[1]), "name"))
            proposed.append((prompt, entry, place, (rng.choice(strangers)[0], place[1]), "module"))
    there = proofs.exist([swapped for *_, swapped, _ in proposed])
    return [
        Fact(
            prompt=prompt,
            kind=kind,
            true=_statement(place, entry),
            false=_statement(swapped, entry),
            original=place[kind == "name"],
            swapped=swapped[kind == "name"],
            proof=f"{swapped[0]} has no {swapped[1]} (looked up by import)",
        )
        for (prompt, entry, place, swapped, kind), exists in zip(proposed, there, strict=True)
        if not exists
    ]


def _statement(place: proofs.Place, entry: DocEntry) -> str:
    return f"In {place[0]}, {place[1]}: {entry.summary}"


def _number(prompt: Prompt, entry: DocEntry, sentence: str, rng: Random) -> Fact | None:
    match = NUMBER.search(sentence)
    if match is None or HEDGE.search(sentence) or len(ANY_NUMBER.findall(sentence)) != 1:
        return None
    slot = next(name for name, value in match.groupdict().items() if value)
    start, end = match.span(slot)
    old, text = match.group(slot), " ".join((entry.summary, *entry.sentences))
    first, last = 10 ** (len(old) - 1), 10 ** len(old)
    others = NUMERALS if slot == "numeral" else [str(n) for n in range(max(2, first), last)]
    before = sentence[:start].rpartition(" ")[0].rpartition(" ")[2]  # the article that the number stands behind
    free = [n for n in others if n != old and not re.search(rf"\b{n}\b", text) and _spoken(n) == _spoken(old, before)]
    if not free:
        return None
    new = rng.choice(free)
    return Fact(
        prompt=prompt,
        kind="number",
        true=sentence,
        false=sentence[:start] + new + sentence[end:],
        original=old,
        swapped=new,
        proof=f"the docstring says {match.group()!r}, which has one value",
    )


def _spoken(number: str, before: str = "") -> bool:
    """Whether a number is spoken with a vowel, so that an article before it gives nothing away."""
    return before == "an" or number.startswith("8") or number in ("11", "18")


def _type(prompt: Prompt, entry: DocEntry, sentence: str, rng: Random) -> Fact | None:
    match = TYPE.search(sentence)
    text = " ".join((entry.summary, *entry.sentences)).lower()
    if match is None or re.search(r"\b(or|either)\b", sentence):
        return None
    old = match.group("type")
    free = [new for new in TYPES if new not in text and not related(TYPES[new], TYPES[old])]
    if not free:
        return None
    new, article = rng.choice(free), match.group("article")
    if article != "the":
        article = "an" if new[0] in "aeiou" else "a"
    head = sentence[: match.start("article")]
    return Fact(
        prompt=prompt,
        kind="type",
        true=sentence,
        false=f"{head}{article} {new}{sentence[match.end('type') :]}",
        original=old,
        swapped=new,
        proof=f"the docstring says that it returns {match.group('article')} {old}; "
        f"{TYPES[new].__name__} and {TYPES[old].__name__} are no relatives",
    )


def related(one: type, other: type) -> bool:
    """Whether an object of one type may be of the other."""
    return issubclass(one, other) or issubclass(other, one)


class FactRow(BaseModel):
    """A fact as a file has it, which vouches for it."""

    prompt: Annotated[GivenPrompt, MinLen(1)]
    true: str
    false: str
    kind: str
    proof: str

    @model_validator(mode="after")
    def _differ(self) -> FactRow:
        if self.true == self.false:
            raise ValueError('"true" and "false" must differ')
        return self

    @property
    def fact(self) -> Fact:
        prompt = Prompt(conversation=self.prompt, reference=self.true, split="held_out")
        return Fact(
            prompt=prompt,
            kind=self.kind,
            true=self.true,
            false=self.false,
            original=self.true,
            swapped=self.false,
            proof=self.proof,
        )


def read_facts(path: Path) -> Facts:
    """Facts of a JSONL file: ``prompt``, ``true``, ``false``, ``kind`` and ``proof``, for which the file vouches.

    Raises:
        DataError: no such file, or a row that is none.
    """
    expected = '{"prompt": …, "true": "…", "false": "…", "kind": "…", "proof": "…"}'
    return Facts(facts=tuple(row.fact for row in read_rows(path, FactRow, expected)), abstained={})
