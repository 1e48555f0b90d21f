"""Which stored answers people are asked to judge: whole prompts, blind, in an order that says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.records import Conversation, digest
from miner.errors import ConfigError, DataError
from miner.measuring.overopt.changepoint import MIN_PROMPTS
from miner.measuring.overopt.label_files import SheetRow, answer_key
from miner.measuring.overopt.log import measured_runs
from miner.measuring.overopt.measuring import SampleRow
from miner.measuring.overopt.prompts import ASKED, read_asked
from miner.rewards.text.pipeline import plain_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSheet:
    """Every answer once. ``rows`` say neither run nor step nor reward, and lie in hashed order."""

    rows: tuple[SheetRow, ...]
    n_prompts: int
    n_runs: int


def label_sheet(folder: Path, *, n_prompts: int | None = None) -> LabelSheet:
    """All measured answers of a study to ``n_prompts`` of the prompts that its runs share; None: to all of these.

    The prompts of a smaller sheet are among those of a larger one, so that labels add up.

    Raises:
        ConfigError: fewer prompts than an onset needs, or more than the runs share.
        DataError: no runs, none with measured answers, or runs that share no prompt or have not stored its text.
    """
    if n_prompts is not None and n_prompts < MIN_PROMPTS:
        raise ConfigError(f"{n_prompts} labelled prompts are too few to tell an onset by; {MIN_PROMPTS} are needed")
    runs = measured_runs(folder)
    shared = set.intersection(*({row.prompt_id for row in rows} for rows in runs.values()))
    if not shared:
        raise DataError(f"the {len(runs)} runs of {folder} were measured on different prompts; they share none")
    if n_prompts is not None and n_prompts > len(shared):
        raise ConfigError(f"the runs of {folder} share {len(shared)} prompts; {n_prompts} were asked for")
    chosen = sorted(shared, key=digest)[:n_prompts]
    prompts = _prompts(runs, chosen)
    answers = {
        answer_key(row.prompt_id, row.response): SheetRow(
            prompt=plain_prompt(prompts[row.prompt_id]), response=row.response, prompt_id=row.prompt_id
        )
        for rows in runs.values()
        for row in rows
        if row.prompt_id in prompts
    }
    order = sorted(answers, key=digest)
    return LabelSheet(rows=tuple(answers[key] for key in order), n_prompts=len(chosen), n_runs=len(runs))


def _prompts(runs: Mapping[Path, Sequence[SampleRow]], chosen: Sequence[str]) -> dict[str, Conversation]:
    stored: dict[str, Conversation] = {}
    for run in runs:
        stored |= read_asked(run)
    for prompt_id in chosen:
        if prompt_id not in stored:
            raise DataError(
                f"{next(iter(runs)) / ASKED} lacks prompt {prompt_id}: the run is of an older version. Give the "
                "command that made it again: it adds the prompts and trains nothing"
            )
    return {prompt_id: stored[prompt_id] for prompt_id in chosen}
