"""Attribute spread: asked for a person, how many different people does a policy come up with?

After "Creativity Has Left the Chat" (Mohammadi 2024, arXiv:2406.05587), which asks for customers and finds aligned
models naming the same few. Attributes are read off by the regular expressions below, or by those of the prompt file.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.records import Conversation, Message, Prompt
from miner.errors import DataError
from miner.measuring.diversity.report import AttributeSpread
from miner.measuring.diversity.writings import LEAST_SETS, Writings, conversation_of
from miner.statistics import mean, rate

BUILT_IN = "builtin"
ATTRIBUTES: dict[str, str] = {
    "name": r"\b[Nn]ame(?: is|\W{1,5})\s*([A-Z][\w'’-]+)",
    "age": r"\b[Aa]ge(?: is|d|\W{1,5})\s*(\d{1,3})\b|\b(\d{1,3})[- ]years?[- ]old\b",
    "gender": r"\b[Gg]ender(?: is|\W{1,5})\s*([A-Za-z-]+)",
    "nationality": r"\b[Nn]ationality(?: is|\W{1,5})\s*([A-Z][\w-]+)",
    "occupation": r"\b(?:[Oo]ccupation|[Pp]rofession|[Jj]ob)(?: is|\W{1,5})\s*(?:an? )?([A-Za-z-]+)",
}
WHO = (
    "a customer of a bookshop",
    "a customer who buys a coffee machine",
    "a guest of a small hotel",
    "a patient in a waiting room",
    "a passenger on a night train",
    "a new member of a sports club",
    "a student of an evening class",
    "a visitor of a museum",
)
FORM = "Invent {who}. Answer in this form: Name: … Age: … Gender: … Nationality: … Occupation: …"
DECADE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonaPrompts:
    """Prompts that ask for a person, and per attribute the expression whose first group that matched is its value."""

    prompts: tuple[Prompt, ...]
    attributes: Mapping[str, str]


def built_in_prompts() -> PersonaPrompts:
    turns = [(Message(role="user", content=FORM.format(who=who)),) for who in WHO]
    return PersonaPrompts(prompts=tuple(map(_prompt, turns)), attributes=ATTRIBUTES)


def read_persona(path: Path) -> PersonaPrompts:
    """Prompts of a JSONL file (``prompt``), and ``attributes`` (name: expression) that rows may add to the built-in.

    Raises:
        DataError: no such file, a row that is none, a bad expression, or too few prompts for an interval.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the persona prompts {path}: {error}. Expected JSONL") from error
    prompts: dict[Conversation, None] = {}
    attributes = dict(ATTRIBUTES)
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
            prompts[conversation_of(row["prompt"], where)] = None
            attributes |= {str(name): re.compile(of).pattern for name, of in row.get("attributes", {}).items()}
        except (ValueError, KeyError, TypeError, AttributeError, re.error) as error:
            raise DataError(
                f'{where}: expected {{"prompt": "…"}} with, at most, "attributes": {{name: expression}}; '
                f"{type(error).__name__}: {error}"
            ) from error
    if len(prompts) < LEAST_SETS:
        raise DataError(f"{path} holds {len(prompts)} prompts; an interval needs at least {LEAST_SETS}")
    return PersonaPrompts(prompts=tuple(map(_prompt, prompts)), attributes=attributes)


def attribute_spreads(writings: Writings, attributes: Mapping[str, str], *, seed: int) -> list[AttributeSpread]:
    """The spread of every attribute that enough prompts' samples state twice or more."""
    found = []
    for name, expression in attributes.items():
        values = [[attribute_of(name, expression, text) for text in one.responses] for one in writings.written]
        stated = [[value for value in of_prompt if value is not None] for of_prompt in values]
        usable = [(one.group, of) for one, of in zip(writings.written, stated, strict=True) if len(of) >= 2]
        if len({group for group, _ in usable}) < LEAST_SETS:
            continue
        groups = [group for group, _ in usable]
        everywhere = Counter(value for of in stated for value in of)
        found.append(
            AttributeSpread(
                attribute=name,
                spread=mean([chance_of_difference(of) for _, of in usable], groups=groups, seed=seed),
                entropy_bits=mean([entropy_bits(of) for _, of in usable], groups=groups, seed=seed),
                parsed=rate(
                    [value is not None for of_prompt in values for value in of_prompt],
                    groups=[one.group for one in writings.written for _ in one.responses],
                    seed=seed,
                ),
                most_common=everywhere.most_common(1)[0][0],
            )
        )
    return found


def attribute_of(name: str, expression: str, text: str) -> str | None:
    """The value that ``text`` states, in lower case; an age as its decade."""
    match = re.search(expression, text)
    value = next((group for group in match.groups() if group), match.group()) if match else None
    if value is None:
        return None
    return f"{int(value) // DECADE * DECADE}s" if name == "age" and value.isdigit() else value.lower()


def chance_of_difference(values: Sequence[str]) -> float:
    """The chance that two of the values, drawn without replacement, differ: no bias from how many there are."""
    n = len(values)
    return 1 - sum(count * (count - 1) for count in Counter(values).values()) / (n * (n - 1))


def entropy_bits(values: Sequence[str]) -> float:
    """The entropy of the values with Miller and Madow's correction for how few they are."""
    n, counts = len(values), Counter(values).values()
    plug_in = -sum(count / n * math.log2(count / n) for count in counts)
    return plug_in + (len(counts) - 1) / (2 * n * math.log(2))


def _prompt(conversation: Conversation) -> Prompt:
    return Prompt(conversation=conversation)
