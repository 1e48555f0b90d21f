"""Preference data as prompts: rows of the same prompt merged, split by group before anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from corpus.records import Conversation, Prompt, Split, conversation_id
from miner.data.columns import ColumnMapping, detect_columns
from miner.data.layouts import Preference, Skip, read_row
from miner.data.messages import shown, valid_text
from miner.data.rows import Row, Source
from miner.data.sources import open_source
from miner.data.splits import SplitFractions, default_group_key, split_of
from miner.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What became of the rows.

    ``skipped`` counts rows by reason. ``contradictions`` counts rejected responses dropped because they are their
    prompt's reference; ``regrouped`` rows whose prompt an earlier row had put in another group, where it stayed.
    """

    source: str
    rows: int
    skipped: Mapping[str, int]
    contradictions: int
    regrouped: int
    prompts_by_split: Mapping[Split, int]


@dataclass(frozen=True, slots=True)
class PreferenceData:
    """Prompts in the order of their first rows, and what was left out."""

    prompts: tuple[Prompt, ...]
    report: LoadReport


@dataclass(slots=True)
class _Gathered:
    """What the rows read so far say about one prompt; the rejected keys are an ordered set."""

    conversation: Conversation
    group_key: str
    reference: str | None = None
    rejected: dict[str, None] = field(default_factory=dict)


def load_prompts(
    source: str | Path,
    *,
    columns: ColumnMapping | None = None,
    hub_split: str = "train",
    limit: int | None = None,
    split_fractions: SplitFractions | None = None,
    split_salt: str = "",
) -> list[Prompt]:
    """The prompts of ``read_preferences``, whose report says what was left out."""
    return list(
        read_preferences(
            source,
            columns=columns,
            hub_split=hub_split,
            limit=limit,
            split_fractions=split_fractions,
            split_salt=split_salt,
        ).prompts
    )


def read_preferences(
    source: str | Path,
    *,
    columns: ColumnMapping | None = None,
    hub_split: str = "train",
    limit: int | None = None,
    split_fractions: SplitFractions | None = None,
    split_salt: str = "",
) -> PreferenceData:
    """Read a JSON, JSONL or Parquet file, a ``datasets`` folder or a hub id; each distinct prompt once.

    The first chosen response is a prompt's reference; the rejected ones of all its rows are kept in order. Without
    ``columns`` TRL's and HH's names are recognised. ``limit`` is a number of prompts: reading stops at the first row of
    one more.

    Raises:
        DataError: unreadable or malformed data, with file and line, or not one usable row.
        ConfigError: ``limit`` below 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is a number of prompts, at least 1; got {limit}")
    opened = open_source(source, hub_split)
    mapping = _checked(opened, columns)
    counts = _Counts()
    gathered = _gather(opened.rows(mapping.used), mapping, limit, counts)
    if not gathered:
        reasons = "; ".join(f"{n} × {reason}" for reason, n in counts.skipped.items())
        raise DataError(f"{opened.name}: none of {counts.rows} rows is usable: {reasons}")
    fractions = split_fractions or SplitFractions()
    prompts = tuple(_prompt(one, split_of(one.group_key, fractions, split_salt)) for one in gathered)
    return PreferenceData(prompts, _report(opened.name, counts, gathered, prompts))


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    regrouped: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def _checked(source: Source, columns: ColumnMapping | None) -> ColumnMapping:
    present = source.columns()
    mapping = columns or detect_columns(present, source.name)
    mapping.require(present, source.name)
    return mapping


def _gather(rows: Iterable[Row], mapping: ColumnMapping, limit: int | None, counts: _Counts) -> list[_Gathered]:
    found: dict[str, _Gathered] = {}
    for row in rows:
        mapping.require(tuple(row.values), row.where)
        preference = read_row(row, mapping)
        if not isinstance(preference, Skip):
            key = conversation_id(preference.conversation)
            if key not in found and len(found) == limit:
                break
            group_key = _group_key(row, mapping, preference)
            one = found.setdefault(key, _Gathered(preference.conversation, group_key))
            counts.regrouped += one.group_key != group_key
            if one.reference is None:
                one.reference = preference.chosen
            one.rejected.update(dict.fromkeys(preference.rejected))
        else:
            counts.skipped[preference.value] += 1
        counts.rows += 1
    return list(found.values())


def _group_key(row: Row, mapping: ColumnMapping, preference: Preference) -> str:
    if mapping.group is None:
        return default_group_key(preference.conversation)
    value = row.values[mapping.group]
    where = f"{row.where}, column {mapping.group!r}"
    if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
        raise DataError(f"{where}: expected text or a whole number to group by; got {shown(value)}")
    return valid_text(str(value), where)


def _prompt(one: _Gathered, split: Split) -> Prompt:
    return Prompt(
        conversation=one.conversation,
        reference=one.reference,
        rejected=tuple(text for text in one.rejected if text != one.reference),
        group_key=one.group_key,
        split=split,
    )


def _report(name: str, counts: _Counts, gathered: list[_Gathered], prompts: tuple[Prompt, ...]) -> LoadReport:
    by_split = Counter(prompt.split for prompt in prompts)
    splits: tuple[Split, ...] = ("train", "calibration", "held_out")
    return LoadReport(
        source=name,
        rows=counts.rows,
        skipped=dict(counts.skipped),
        contradictions=sum(one.reference in one.rejected for one in gathered),
        regrouped=counts.regrouped,
        prompts_by_split={split: by_split[split] for split in splits},
    )
