"""The layouts that published data sets and trainers use, by example: the first that fits the rows is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from miner.data.cells import is_texts, unrolled, value_at
from miner.data.columns import ColumnMapping
from miner.data.roles import role_named
from miner.data.rows import Row, UnusableRowError
from miner.data.transcripts import loose_turns
from miner.data.trees import joined_messages, nested_trees

Examples = Sequence[Mapping[str, Any]]
Rows = Iterable[Row | UnusableRowError]

SYSTEM = (("system", "system"), ("system", "system_prompt"))
ALPACA = (*SYSTEM, ("input", "input"), ("history", "history"))
PROMPTS = ("prompt", "instruction", "question", "query", "input")
ANSWERS = ("completion", "response", "output", "answer", "generation")
WHOLE = ("messages", "conversations", "conversation")
SIDES = ("model_a", "model_b")
TIES = ("tie", "tie (bothbad)", "tie (both bad)", "bothbad", "both_bad", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A name, the columns that make it out, those that it may have (``optional``: field of the mapping and column), and
    what else has to hold of the rows. ``regroup`` makes its rows the ones that ``mapping`` speaks of.

    ``is_plain``: names so usual that a misspelt one beside them is refused.
    """

    name: str
    mapping: ColumnMapping
    optional: tuple[tuple[str, str], ...] = ()
    fits: Callable[[Examples], bool] | None = None
    needs: tuple[str, ...] = ()
    regroup: Callable[[Rows], Iterator[Row | UnusableRowError]] | None = None
    is_plain: bool = False


def _first(examples: Examples, path: str) -> Any:
    found = (value_at(values, path) for values in examples)
    return unrolled(next((one for one in found if one is not None), None))


def _keyed(path: str, *keys: str) -> Callable[[Examples], bool]:
    """The structs in a list have one of these keys."""

    def fits(examples: Examples) -> bool:
        value = _first(examples, path)
        return isinstance(value, list) and any(isinstance(one, Mapping) and set(keys) & set(one) for one in value)

    return fits


def _ends_with(path: str, role: str) -> Callable[[Examples], bool]:
    """The conversation in a column ends with a turn of this role."""

    def fits(examples: Examples) -> bool:
        turns = _first(examples, path)
        last = turns[-1] if isinstance(turns, list) and turns else None
        name = (last.get("from") or last.get("role")) if isinstance(last, Mapping) else None
        return isinstance(name, str) and (role_named(name) == role)

    return fits


def _not(fits: Callable[[Examples], bool]) -> Callable[[Examples], bool]:
    return lambda examples: not fits(examples)


def _lists_texts(path: str) -> Callable[[Examples], bool]:
    return lambda examples: is_texts(_first(examples, path))


def _lists_at_most(n: int, path: str) -> Callable[[Examples], bool]:
    """A cell that is a list of texts holds no more than ``n``."""
    return lambda examples: all(len(cell) <= n for cell in (value_at(row, path) for row in examples) if is_texts(cell))


def _transcribed(path: str) -> Callable[[Examples], bool]:
    return lambda examples: bool(loose_turns(str(_first(examples, path))))


def demonstrates(path: str) -> Callable[[Examples], bool]:
    """Whole conversations that end with the assistant, and nothing beside them to compare."""
    checks = (_ends_with(path, "assistant"), _lacks("prompt"), _lacks("rejected"))
    return lambda examples: all(fits(examples) for fits in checks)


def _lacks(path: str) -> Callable[[Examples], bool]:
    return lambda examples: all(path not in row for row in examples)


def _pairs(prompt: str, chosen: str = "chosen", rejected: str = "rejected") -> ColumnMapping:
    return ColumnMapping(prompt=prompt, chosen=chosen, rejected=rejected)


def _labelled(prompt: str | None, a: str, b: str, label: str, values: tuple[Any, ...], ties: Any = ()) -> ColumnMapping:
    return ColumnMapping(prompt=prompt, responses=(a, b), label=label, label_values=values, tie_labels=ties)


def _scored(prompt: str | None, a: str, b: str, score_a: str, score_b: str) -> ColumnMapping:
    return ColumnMapping(prompt=prompt, responses=(a, b), scores=(score_a, score_b))


COMPARED = (
    Layout(
        name="OpenAI preference pairs", mapping=_pairs("input.messages", "preferred_output", "non_preferred_output")
    ),
    Layout(name="ms-swift pairs", mapping=ColumnMapping(chosen="messages", rejected="rejected_messages")),
    Layout(name="ms-swift pairs", mapping=ColumnMapping(chosen="messages", rejected="rejected_response")),
    Layout(
        name="HelpSteer 3", mapping=_labelled("context", "response1", "response2", "overall_preference", (-1, 1))
    ),
    Layout(
        name="HelpSteer 2 preferences",
        mapping=_labelled("prompt", "response_1", "response_2", "preference_strength", (-1, 1)),
    ),
    Layout(name="WebGPT", mapping=_scored("question.full_text", "answer_0", "answer_1", "score_0", "score_1")),
    Layout(name="WebGPT", mapping=_scored("question", "answer_0", "answer_1", "score_0", "score_1")),
    Layout(name="SHP", mapping=_labelled("history", "human_ref_A", "human_ref_B", "labels", (1, 0))),
    Layout(
        name="PKU-SafeRLHF", mapping=_labelled("prompt", "response_0", "response_1", "better_response_id", (0, 1))
    ),
    Layout(
        name="arena, one column per winner",
        mapping=_scored("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b"),
    ),
    Layout(name="arena", mapping=_labelled(None, "conversation_a", "conversation_b", "winner", SIDES, TIES)),
    Layout(name="arena", mapping=_labelled("prompt", "response_a", "response_b", "winner", SIDES, TIES)),
    Layout(name="Unified-Feedback", mapping=_scored(None, "conv_A", "conv_B", "conv_A_rating", "conv_B_rating")),
    Layout(name="LLMBar", mapping=_labelled("input", "output_1", "output_2", "label", (1, 2))),
    Layout(
        name="AlpacaEval",
        mapping=_labelled("instruction", "output_1", "output_2", "preference", (1, 2)),
        optional=(("input", "input"),),
    ),
)  # fmt: skip

LISTED = (
    *(
        Layout(
            name="UltraFeedback",
            mapping=ColumnMapping(prompt="instruction", answers="completions", score=score),
            fits=_keyed("completions", score),
        )
        for score in ("overall_score", "fine-grained_score")
    ),
    Layout(
        name="Nectar",
        mapping=ColumnMapping(prompt="prompt", answers="answers", rank="rank"),
        fits=_keyed("answers", "rank"),
    ),
    Layout(
        name="Stack Exchange",
        mapping=ColumnMapping(prompt="question", answers="answers", score="pm_score"),
        fits=_keyed("answers", "pm_score"),
    ),
    Layout(
        name="summarize_from_feedback",
        mapping=ColumnMapping(prompt="info.post", answers="summaries", label="choice"),
    ),
    *(
        Layout(
            name="rated generations",
            mapping=ColumnMapping(prompt=prompt, answers=answers, score="ratings"),
            needs=("ratings",),
        )
        for prompt in ("instruction", "input", "prompt")
        for answers in ("generations", "responses")
    ),
)  # fmt: skip

RATED = (
    Layout(
        name="HelpSteer ratings",
        mapping=ColumnMapping(prompt="prompt", completion="response", score="helpfulness"),
    ),
)

TRAINERS = (
    Layout(name="RewardBench 2", mapping=_pairs("prompt"), fits=_lists_texts("chosen")),
    Layout(name="TRL pairs", mapping=_pairs("prompt"), optional=SYSTEM, is_plain=True),
    Layout(name="Orca pairs", mapping=_pairs("question"), optional=SYSTEM, is_plain=True),
    Layout(name="LLaMA-Factory pairs", mapping=_pairs("instruction"), optional=ALPACA, is_plain=True),
    *(
        Layout(name="Argilla pairs", mapping=_pairs(prompt, "chosen_response", "rejected_response"), optional=SYSTEM)
        for prompt in ("instruction", "prompt", "input")
    ),
    *(
        Layout(name=name, mapping=_pairs(column), fits=_not(_ends_with(column, "assistant")), optional=SYSTEM)
        for column, name in (
            ("messages", "axolotl pairs"),
            ("conversations", "LLaMA-Factory pairs, ShareGPT turns"),
            ("conversation", "axolotl pairs"),
            ("trajectory", "UltraInteract"),
            ("context", "pairs under a context"),
        )
    ),
    Layout(name="pairs under an input", mapping=_pairs("input"), optional=SYSTEM, is_plain=True),
    Layout(
        name="Anthropic HH",
        mapping=ColumnMapping(chosen="chosen", rejected="rejected"),
        fits=_transcribed("chosen"),
        is_plain=True,
    ),
    Layout(
        name="LLaMA-Factory ranked outputs",
        mapping=_pairs("instruction", "output.0", "output.1"),
        optional=ALPACA,
        needs=("output.1",),
        fits=_lists_at_most(2, "output"),
    ),
    Layout(
        name="TRL pairs, prompt within", mapping=ColumnMapping(chosen="chosen", rejected="rejected"), is_plain=True
    ),
)  # fmt: skip

TREES = (
    Layout(
        name="oasst trees",
        mapping=ColumnMapping(prompt="prompt", answers="answers", rank="rank", group="tree"),
        needs=("prompt.replies",),
        regroup=nested_trees,
    ),
    Layout(
        name="oasst messages",
        mapping=ColumnMapping(prompt="prompt", answers="answers", rank="rank", group="tree"),
        needs=("message_id", "parent_id", "text", "role"),
        regroup=joined_messages,
    ),
)

ALONE = (
    Layout(
        name="Alpaca demonstrations",
        mapping=ColumnMapping(prompt="instruction", chosen="output"),
        optional=ALPACA,
        fits=_lists_at_most(1, "output"),
    ),
    *(
        Layout(
            name="prompts with a good answer",
            mapping=ColumnMapping(prompt=prompt, chosen=answer),
            optional=ALPACA if prompt == "instruction" else SYSTEM,
            fits=_lists_at_most(1, answer),
        )
        for prompt in PROMPTS
        for answer in ANSWERS
    ),
    *(
        Layout(
            name="chat demonstrations" if column == "messages" else "ShareGPT demonstrations",
            mapping=ColumnMapping(chosen=column),
            fits=demonstrates(column),
        )
        for column in WHOLE
    ),
    Layout(
        name="prompts with a good answer", mapping=ColumnMapping(prompt="prompt", chosen="chosen"), is_plain=True
    ),
    Layout(name="whole conversations", mapping=ColumnMapping(chosen="chosen"), is_plain=True),
    *(
        Layout(
            name="prompts",
            mapping=ColumnMapping(prompt=name),
            is_plain=True,
            optional=SYSTEM,
            fits=_lacks("rejected"),
        )
        for name in ("prompt", "messages", "conversations")
    ),
)  # fmt: skip

PAIRED = (*COMPARED, *LISTED, *RATED, *TRAINERS, *TREES)
"""Layouts that say which answer is better; ``ALONE`` are those of rows that have one answer, a good one, or none."""
