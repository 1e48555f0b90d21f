"""Ours beside nanoGCG and TROPT: candidates a second, and time to a response that beats the reference and the bar.

Peers run in environments of their own, one process a job, and log a line a step; what they claim does not count. A
response counts once the neutral scorer has seen it win, and its time is that of the line it was logged with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attacks.gcg import GCG
from corpus.records import Prompt
from miner.checkpoints.identity import cache_folder
from miner.judging.criteria import Criteria
from miner.rewards import Pair
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.searching.attempts import Plan, RoundContext, plan_attempt
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from scripts.drills.mining import EverythingIsNonsense
from scripts.search_bench.models import BenchModel, NeutralScorer

RUNNERS = Path(__file__).resolve().parents[1] / "peers"
UNLIMITED = 10**9
PATIENCE_S = 120.0  # how long a peer may take over its limit (a step, loading) before it is ended


@dataclass(frozen=True, kw_only=True)
class Job:
    """One search a prompt: what ours and the peers are given alike."""

    model: BenchModel
    prompts: Sequence[Prompt]
    starts: Sequence[str]
    n_candidates: int
    topk: int
    seconds: float
    dtype: str
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """What one search did on one prompt: texts it stood at, by time, and how many it had scored by its end."""

    prompt_id: str
    seconds: float
    unique: int
    texts: tuple[tuple[float, str], ...]


class OutOfTime(Exception):
    pass


@dataclass(frozen=True, kw_only=True)
class TimedOracle(Oracle):
    """Counts different texts and stops the run when the time is over."""

    deadline: float = 0.0
    seen: set[Pair] = field(default_factory=set)

    def score_each(self, parts: Sequence[Sequence[Pair]]) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
        rewards = super().score_each(parts)
        self.seen.update(pair for part in parts for pair in part)
        if time.perf_counter() > self.deadline:
            raise OutOfTime
        return rewards


def ours(job: Job, rm: TransformerRewardModel, criteria: Criteria, attack: GCG) -> list[Trace]:
    """Our search on each prompt in turn, one at a time."""
    return [_one(job, rm, criteria, attack, prompt, number) for number, prompt in enumerate(job.prompts)]


def ours_pooled(job: Job, rm: TransformerRewardModel, criteria: Criteria, attack: GCG) -> list[Trace]:
    """Our searches on all prompts at once; each one's time is the wall time of all until it ended."""
    oracle = TimedOracle(rm=rm, deadline=time.perf_counter() + job.seconds * len(job.prompts))
    driver = Driver(oracle=oracle, criteria=criteria, certifier=EverythingIsNonsense(), in_flight=len(job.prompts))
    plans = [_plan(rm, attack, prompt, job.seed + number) for number, prompt in enumerate(job.prompts)]
    started = time.perf_counter()
    traces = []
    try:
        for result in driver.run(plans):
            seconds = time.perf_counter() - started
            texts = tuple((seconds, finding.response) for finding in result.findings)
            traces.append(Trace(result.plan.prompts[0].prompt_id, seconds, 0, texts))
    except OutOfTime:
        pass
    return traces


def _one(job: Job, rm: TransformerRewardModel, criteria: Criteria, attack: GCG, prompt: Prompt, number: int) -> Trace:
    oracle = TimedOracle(rm=rm, deadline=time.perf_counter() + job.seconds)
    driver = Driver(oracle=oracle, criteria=criteria, certifier=EverythingIsNonsense())
    started = time.perf_counter()
    texts: tuple[tuple[float, str], ...] = ()
    try:
        (result,) = driver.run([_plan(rm, attack, prompt, job.seed + number)])
        texts = tuple((time.perf_counter() - started, finding.response) for finding in result.findings)
    except OutOfTime:
        pass
    return Trace(prompt.prompt_id, time.perf_counter() - started, len(oracle.seen), texts)


def _plan(rm: TransformerRewardModel, attack: GCG, prompt: Prompt, seed: int) -> Plan:
    context = RoundContext(campaign_id="bench", round=0, rm=rm, criteria_hash="bench", seed=0)
    return plan_attempt(context, attack, [prompt], seed=seed, budget=UNLIMITED)


def peer(name: str, recipe: str, job: Job, bars: dict[str, float], scorer: NeutralScorer) -> list[Trace]:
    """A peer's search on each prompt in turn. With ``bars`` it is told to go on to the next prompt when it has won."""
    with tempfile.TemporaryDirectory() as folder:
        out, stop = Path(folder) / "out.jsonl", Path(folder) / "stop"
        job_file = _job_file(Path(folder), recipe, job, stop)
        command = [str(_environment(name)), str(RUNNERS / f"{name}_runner.py"), str(job_file), str(out)]
        log = Path(folder) / "log"
        with log.open("w") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            rows = list(_followed(process, out, stop, job, bars, scorer))
        finally:
            process.kill()
            process.wait()
        if not rows:
            raise SystemExit(f"{name} {recipe} logged nothing:\n{log.read_text()[-2000:]}")
    return _traces(job, rows)


def _job_file(folder: Path, recipe: str, job: Job, stop: Path) -> Path:
    allowed = folder / "allowed.json"
    from miner.rewards import load_reward_model

    rm = load_reward_model(job.model.folder, dtype="float32")
    allowed.write_text(json.dumps(np.flatnonzero(rm.vocabulary.allowed).tolist()))
    prompts = []
    for prompt, start in zip(job.prompts, job.starts, strict=True):
        before, after = job.model.frame(prompt.conversation[-1].content)
        prompts.append({"id": prompt.prompt_id, "before": before, "after": after, "init": start})
    fields: dict[str, Any] = {
        "model": str(job.model.folder),
        "kind": job.model.kind,
        "prompts": prompts,
        "add_special_tokens": job.model.kind == "encoder",
        "n_candidates": job.n_candidates,
        "topk": job.topk,
        "recipe": recipe,
        "dtype": job.dtype,
        "threads": torch.get_num_threads(),
        "seconds": job.seconds,
        "max_steps": UNLIMITED,
        "seed": job.seed,
        "allowed_tokens": str(allowed),
        "stop_file": str(stop),
    }
    path = folder / "job.json"
    path.write_text(json.dumps(fields))
    return path


def _followed(
    process: subprocess.Popen[bytes], out: Path, stop: Path, job: Job, bars: dict[str, float], scorer: NeutralScorer
) -> Iterator[dict[str, Any]]:
    """The lines as they are written; a prompt whose text wins is named in the stop file."""
    frames = {p.prompt_id: job.model.frame(p.conversation[-1].content) for p in job.prompts}
    ends = time.monotonic() + len(job.prompts) * job.seconds + PATIENCE_S + 10 * len(job.prompts)
    at = 0
    while True:
        running = process.poll() is None
        lines = out.read_text().splitlines(keepends=True) if out.exists() else []
        for line in lines[at:]:
            if not line.endswith("\n"):
                break
            at += 1
            row = json.loads(line)
            if "step" in row:
                yield row
                before, after = frames[row["prompt"]]
                texts = {row["text"], row["step_text"]}
                if row["prompt"] in bars and any(scorer(before, text, after) > bars[row["prompt"]] for text in texts):
                    stop.write_text(row["prompt"])
        if not running and process.returncode:
            raise SystemExit(f"the peer ended with status {process.returncode} after {at} lines")
        if not running or time.monotonic() > ends:
            return
        time.sleep(0.05)


def _traces(job: Job, rows: Sequence[dict[str, Any]]) -> list[Trace]:
    traces = []
    for prompt in job.prompts:
        mine = [row for row in rows if row["prompt"] == prompt.prompt_id]
        if mine:
            texts = tuple((float(row["seconds"]), str(row[key])) for row in mine for key in ("text", "step_text"))
            traces.append(Trace(prompt.prompt_id, texts[-1][0], int(mine[-1]["unique"]), texts))
    return traces


def _environment(name: str) -> Path:
    """The peer's own Python, its packages installed at the first call."""
    folder = cache_folder() / "peers" / name
    python, requirements = folder / "bin" / "python", RUNNERS / f"{name}.txt"
    stamp = folder / ".installed"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print(f"making an environment for {name} …", file=sys.stderr, flush=True)
        subprocess.run([str(Path(sys.base_prefix) / "bin" / "python3"), "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "torch==2.13.0"], check=True)
        subprocess.run([*pip, "-r", str(requirements)], check=True)
        stamp.write_text(requirements.read_text())
    return python


def time_to_win(trace: Trace | None, job: Job, prompt: Prompt, bar: float, scorer: NeutralScorer) -> float | None:
    """Seconds to the first text that the neutral scorer calls a win; None where there was none in time."""
    if trace is None:
        return None
    before, after = job.model.frame(prompt.conversation[-1].content)
    for seconds, text in trace.texts:
        if seconds <= job.seconds and scorer(before, text, after) > bar:
            return seconds
    return None
