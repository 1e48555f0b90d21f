"""People's scores as gold of runs that are stored: joined when they are analysed, never written into the runs."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from miner.errors import DataError
from miner.measuring.overopt.results import Labelled
from miner.measuring.overopt.rows import NAN, SampleRow

COLUMNS = ("prompt_id", "response", "score")


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Scores by prompt id and response, higher is better; several of one answer were averaged."""

    scores: Mapping[tuple[str, str], float]

    def as_gold(self, rows: Sequence[SampleRow]) -> list[SampleRow]:
        """``rows`` with people's scores as their gold, NaN where nobody judged the answer."""
        return [replace(row, gold=self.scores.get((row.prompt_id, row.response), NAN)) for row in rows]

    def coverage(self, rows: Iterable[SampleRow]) -> Labelled:
        """How much of a study's ``rows`` they label.

        Raises:
            DataError: none of it.
        """
        stored = {(row.prompt_id, row.response) for row in rows}
        if not (matched := stored & self.scores.keys()):
            raise DataError(
                f"none of the {len(self.scores)} labelled answers is among the {len(stored)} stored ones; expected "
                f"prompt_id (such as {min(stored)[0]}) and response as samples.parquet of these runs has them"
            )
        return Labelled(
            n_answers=len(matched),
            n_prompts=len({prompt_id for prompt_id, _ in matched}),
            unmatched=len(self.scores) - len(matched),
        )


def read_labels(path: Path) -> Labels:
    """The scores in a CSV file with the columns prompt_id, response and score; a row without a score is not judged.

    Raises:
        DataError: no such file, not CSV in UTF-8, a missing column, a score that is no number, or no score at all.
    """
    given: dict[tuple[str, str], list[float]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise DataError(f"{path} has no column {missing[0]!r}; expected CSV with {', '.join(COLUMNS)}")
            for row in reader:
                prompt_id, response, score = (row[name] for name in COLUMNS)
                if score is not None and score.strip():
                    where = f"{path}, line {reader.line_num}"
                    given.setdefault((prompt_id, response), []).append(_number(score, where))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}. Expected CSV in UTF-8 with {', '.join(COLUMNS)}") from error
    if not given:
        raise DataError(f"{path} has no score: fill in the column 'score' with numbers")
    return Labels(scores={answer: sum(scores) / len(scores) for answer, scores in given.items()})


def _number(score: str, where: str) -> float:
    try:
        value = float(score)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: score {score!r} is no number; expected one such as 4 or 0.5, or nothing")
    return value
