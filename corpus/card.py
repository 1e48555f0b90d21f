"""The dataset card (README.md) of an export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from corpus.schema import TABLES

_WARNING = (
    "**The rejected texts are machine-mined nonsense.** A search wrote them to score highly under a reward model; "
    "they answer nothing, may hold control and bidirectional characters, and were read by nobody. Do not train a "
    "policy to write them, do not show them unescaped, and do not take them for answers."
)
_FINDING_WARNING = _WARNING.replace("The rejected texts are", "The texts in `response` are")
_PAIR_COLUMNS = {
    "prompt": "conversation: list of `{role, content}`, last turn from the user",
    "chosen": "the reference: one assistant turn, a known good answer",
    "rejected": "the finding: one assistant turn that outscored the reference and is certified nonsense",
    "margin": (
        "how far the rejected text scored above the reward model's clean references, in their standard deviations: "
        "larger means more wrong, which is how TRL's reward trainer uses a margin"
    ),
}
_COUNTED = {
    "split": "Split",
    "form": "Form",
    "family": "Attack family",
    "kind": "Kind",
    "rm_fingerprint": "Reward model",
}


def dataset_card(rows: Sequence[Mapping[str, Any]], fmt: str, files: Mapping[str, str], *, margin: bool) -> str:
    """Markdown with the header that ``datasets.load_dataset`` reads; ``files`` maps a split to its file."""
    parts = [
        _header(fmt, files),
        f"# Responses that fooled a reward model ({len(rows)} rows)",
        _WARNING if fmt == "trl" else _FINDING_WARNING,
        _held_out_note(files),
        "## Load\n\n```python\nfrom datasets import load_dataset\n\n"
        f'rows = load_dataset("path/to/this/folder", split="{next(iter(files))}")\n```',
        f"## Columns\n\n{_columns(fmt, margin)}",
        "## Counts\n\n" + "\n\n".join(_counts(rows, column, title) for column, title in _COUNTED.items()),
        "Made by `rmminer`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(fmt: str, files: Mapping[str, str]) -> str:
    tags = ["reward-model", "adversarial", *(["preference", "trl"] if fmt == "trl" else [])]
    lines = ["---", "tags:", *(f"- {tag}" for tag in tags), "configs:", "- config_name: default", "  data_files:"]
    for split, path in files.items():
        lines += [f"  - split: {split}", f"    path: {path}"]
    return "\n".join([*lines, "---"])


def _held_out_note(files: Mapping[str, str]) -> str:
    others = [split for split in files if split != "train"]
    if not others:
        return "Only findings on the training split are here: held-out ones must not leak into training."
    return f"**Not all of this may be trained on:** {', '.join(others)} would leak what a patch is evaluated with."


def _columns(fmt: str, margin: bool) -> str:
    if fmt == "trl":
        described = {name: text for name, text in _PAIR_COLUMNS.items() if margin or name != "margin"}
    else:
        described = {field.name: f"`{field.type}`" for field in TABLES["findings"].schema}
    return "\n".join(["| column | |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in described.items())])


def _counts(rows: Sequence[Mapping[str, Any]], column: str, title: str) -> str:
    counts = Counter(str(row[column]) for row in rows).most_common()
    return "\n".join([f"| {title} | rows |", "|---|---:|", *(f"| {_code(name)} | {n} |" for name, n in counts)])


def _code(text: str) -> str:
    safe = "".join(
        letter if letter.isprintable() and letter not in "`|" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
    return f"`{safe}`"
