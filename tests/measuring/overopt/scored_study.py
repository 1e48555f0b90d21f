"""A stored study of two runs whose gold is known, and people who score its answers by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from corpus import Corpus
from corpus.records import digest
from miner.cli.entry import app
from miner.errors import RmMinerError
from miner.judging.people_gold import PeoplesScores, peoples_scores, reviews_of, sample_id
from miner.measuring.overopt.eval_prompts import store_prompts
from miner.measuring.overopt.log import RunLog, read_samples
from miner.measuring.overopt.results import RunInfo
from miner.measuring.overopt.rows import NAN, SampleRow
from miner.testing import toy_prompts
from scripts.drills import samples

PROMPTS = toy_prompts(24)
STEPS = range(0, 60, 5)
STARTS = ("=1+1 ", "+", "-", "@SUM ", "\t=", "", "\u202e", "“", "a\n=b ", " ")  # what mined text may begin with
QUOTE = '"'


def mined(seed: int, n: int, step: int) -> str:
    """Another text for every run, prompt and step, such as a spreadsheet would like to act on."""
    return f"{STARTS[n % len(STARTS)]}{seed}; {n}, {'' if n % 2 else QUOTE}{step}"


def gaming_rows(seed: int) -> list[SampleRow]:
    """Gold falls from step 25 on, while the proxy climbs."""
    rng = np.random.default_rng(seed)
    return [
        SampleRow(
            step=step, prompt_id=prompt.prompt_id, response=mined(seed, n, step),
            proxy=0.005 * step + 0.06 * max(0, step - 25) + rng.normal(),
            gold=0.3 + 0.001 * min(step, 25) - 0.008 * max(0, step - 25) + 0.1 * rng.normal(),
            second=rng.normal(), kl=0.1 * step, entropy=3.0, length=5.0, repetition=0.0,
            surprise=4 + 0.3 * rng.normal(), latent=1.0, nonsense=NAN,
        )
        for step in STEPS
        for n, prompt in enumerate(PROMPTS)
    ]  # fmt: skip


def store(folder: Path, rows: list[SampleRow]) -> None:
    log = RunLog(folder)
    log.samples = rows
    log.write_rows()
    log.write_info(RunInfo(name=folder.name, method="rl", settings={}, models={}, bar={}, status="done"))
    store_prompts(folder, PROMPTS)


def stored_gold(study: Path) -> dict[tuple[str, str], float]:
    rows = [row for run in sorted(study.glob("rl-*")) for row in read_samples(run)]
    return {(row.prompt_id, row.response): row.gold for row in rows}


def score_all(study: Path, score: Callable[[tuple[str, str]], float | None], *, reviewer: str = "Ann") -> PeoplesScores:
    """All answers of ``study`` scored on the review page by somebody who scores by ``score``."""
    Corpus(study.parent / "corpus").append(
        *(
            samples.review(
                review_id=digest([reviewer, *key]), reviewer=reviewer, mode="gold", item_id=sample_id(*key),
                score=given, verdict="cannot_tell" if given is None else repr(given),
            )
            for key in stored_gold(study)
            for given in [score(key)]
        )
    )  # fmt: skip
    return peoples_scores(reviews_of([study.parent]))


def invoke(*arguments: object) -> Any:
    done = CliRunner().invoke(app, ["overopt-people", *map(str, arguments)])
    if isinstance(done.exception, RmMinerError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done
