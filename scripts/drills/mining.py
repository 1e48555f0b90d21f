"""Kills real mining at random moments and counts what was lost. The RM is the toy one, as coarse as
bf16; all else is the product.

Run as a program, this file is the miner that the drill kills: ``mining.py FOLDER [i/n]``.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from attacks import known_attacks
from corpus import Corpus
from corpus.records import Attempt, Prompt, Verdict, digest
from miner.config.campaign import AttackSection, CampaignConfig, StageSection
from miner.judging.checks import Certificate, Subject
from miner.judging.criteria import clean_criteria
from miner.progress import Silent
from miner.rewards.base import Pair
from miner.searching.attempts import Plan, RoundContext
from miner.searching.driver import Driver
from miner.searching.mining import run_plans, stage_plans
from miner.searching.oracle import Oracle
from miner.searching.shards import WHOLE, Shard, shard_of
from miner.testing import ToyRewardModel, toy_prompts

ME = Path(__file__).resolve()
N_PROMPTS = 24
WARM_UP_S = 0.3  # importing; kills before it would hit nothing


@dataclass(frozen=True, kw_only=True)
class MiningKills:
    """``rows_changed`` and ``rows_lost`` compare what was stored at each kill with what is there at the end."""

    n: int
    kills_in_mining: int
    rows_lost: int
    rows_changed: int
    found_without_finding: int
    attempts: int
    orphans: int
    same_attempts_as_uninterrupted: bool
    same_findings_as_uninterrupted: bool


class CoarseToy(ToyRewardModel):
    """Ranks as in bfloat16: in steps of 1/128 of the reward, and otherwise with every company of the text."""

    ranking_dtype = "bfloat16"
    batch_invariant = False

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        exact = super().rewards(pairs)
        company = int(digest(sorted(pair.response for pair in pairs))[:8], 16)
        moved = exact * (1 + np.random.default_rng(company).normal(scale=1 / 256, size=len(pairs)))
        mantissa, exponent = np.frexp(moved)
        return np.ldexp(np.round(mantissa * 256) / 256, exponent)


class EverythingIsNonsense:
    identity = "everything"

    def certify(self, subjects: Sequence[Subject]) -> list[Certificate]:
        verdict = Verdict(check="all", verdict="nonsense", value=1.0, threshold=0.0, calibration_id="none")
        return [Certificate(verdict="nonsense", verdicts=(verdict,)) for _ in subjects]


def campaign(folder: Path | str, rm: ToyRewardModel | None = None) -> tuple[Driver, list[Plan], Corpus, CampaignConfig]:
    rm = rm or CoarseToy()
    prompts = toy_prompts(N_PROMPTS)
    clean = [Prompt(conversation=p.conversation, reference=f"{rm.vocabulary[i]} ba") for i, p in enumerate(prompts)]
    driver = Driver(
        oracle=Oracle(rm=rm),
        criteria=clean_criteria(rm, clean, quantile=0.95),
        certifier=EverythingIsNonsense(),
        in_flight=4,
        keep_queries=True,
    )
    config = CampaignConfig.model_validate(
        {"rm": {"source": "toy"}, "data": {"source": "toy"}, "out": str(folder), "flush_rows": 8, "flush_seconds": 0.02}
    )
    sections = [AttackSection(name=name, params={"width": 4}) for name in ("gcg", "random")]
    assert {section.name for section in sections} <= set(known_attacks())
    context = RoundContext(campaign_id="drill", round=0, rm=rm, criteria_hash="drill", seed=config.seed)
    plans = stage_plans(context, StageSection(budget_queries=120, seeds=2), sections, prompts)
    return driver, plans, Corpus(folder), config


def mine(folder: Path | str, shard: Shard = WHOLE) -> None:
    driver, plans, corpus, config = campaign(folder)
    run_plans(driver, plans, corpus, config, Silent(), title="drill", shard=shard)


def kill_mining(folder: Path, n: int, seed: int) -> MiningKills:
    """``n`` kills at random moments, restarting on the same folder; then a run to the end beside one unharmed."""
    rng = random.Random(seed)
    corpus = Corpus(folder / "killed")
    acknowledged: dict[str, dict[str, object]] = {}
    in_mining = restarts = changed = lost = 0
    while in_mining + restarts < n:
        if _run_and_kill(corpus.path, WARM_UP_S + rng.random() * 1.2):
            in_mining += 1
        else:
            restarts += 1  # it had finished: begin another corpus, so that every kill has work to hit
            corpus = Corpus(folder / f"killed-{restarts}")
            acknowledged = {}
            continue
        rows = _rows(corpus)
        changed += sum(rows[key] != row for key, row in acknowledged.items() if key in rows)
        lost += sum(key not in rows for key in acknowledged)
        acknowledged = rows
    mine(corpus.path)
    whole = Corpus(folder / "whole")
    mine(whole.path)
    rows = _rows(corpus)
    found = [row["attempt_id"] for row in rows.values() if row.get("outcome") == "found"]
    with_finding = {finding.attempt_id for finding in corpus.findings()}
    return MiningKills(
        n=n,
        kills_in_mining=in_mining,
        rows_lost=lost + sum(key not in rows for key in acknowledged),
        rows_changed=changed + sum(rows[key] != row for key, row in acknowledged.items() if key in rows),
        found_without_finding=sum(attempt not in with_finding for attempt in found),
        attempts=len(corpus.attempt_ids()),
        orphans=len(corpus.table("findings")) - len(corpus.settled_findings()),
        same_attempts_as_uninterrupted=_made(corpus) == _made(whole),
        same_findings_as_uninterrupted=_found(corpus) == _found(whole),
    )


def _made(corpus: Corpus) -> dict[str, Attempt]:
    return {one.attempt_id: replace(one, seconds=0.0) for one in corpus.attempts()}


def _found(corpus: Corpus) -> dict[str, str]:
    return {one.finding_id: one.response for one in corpus.findings()}


def _run_and_kill(folder: Path, after_s: float) -> bool:
    """Whether the miner was still at work when it was killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, str(ME), str(folder)], env=environment)
    time.sleep(after_s)
    working = process.poll() is None
    process.kill()
    process.wait()
    return working


def _rows(corpus: Corpus) -> dict[str, dict[str, object]]:
    tables = {name: corpus.table(name).to_pylist() for name in ("attempts", "findings", "queries")}
    keys = {"attempts": ("attempt_id",), "findings": ("finding_id",), "queries": ("attempt_id", "prompt_id", "ordinal")}
    return {
        "|".join((name, *(str(row[column]) for column in keys[name]))): row
        for name, rows in tables.items()
        for row in rows
    }


if __name__ == "__main__":
    mine(sys.argv[1], shard_of(sys.argv[2], {}) if len(sys.argv) > 2 else WHOLE)
