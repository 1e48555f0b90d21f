"""The whole of `rmminer gap`: the choice among each policy's samples, the facts, the findings that come of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import Corpus
from corpus.records import Prompt, digest
from miner.campaigns.usage import machine
from miner.errors import ConfigError
from miner.judging.criteria import MIN_CLEAN, clean_criteria
from miner.judging.gold import Gold, gold_floor
from miner.measuring.diversity.policy import MeasuredSource
from miner.measuring.diversity.sampling import SamplePlan
from miner.measuring.gap.facts import Fact, Facts
from miner.measuring.gap.probe import ScoredFact, fact_rates, factual_findings, score_facts
from miner.measuring.gap.report import GapReport
from miner.measuring.gap.series import Series, measure_series
from miner.progress import Advance, Observer
from miner.rewards.base import RewardModel
from miner.searching.attempts import RoundContext
from miner.searching.version import package_version

if TYPE_CHECKING:
    from miner.measuring.overopt.results import RunInfo


@dataclass(frozen=True, kw_only=True)
class GapRequest:
    """What is measured: the choice among samples of ``policies`` on ``prompts``, by ``gold``, and ``facts``. Without
    policies there is no choice to measure, without facts no probe.

    ``calibration`` references set the bar (``quantile``) for findings, which are added to ``folder/corpus``; ``run`` is
    that of which the policies are checkpoints.
    """

    policies: Sequence[MeasuredSource]
    prompts: Sequence[Prompt]
    plan: SamplePlan
    gold: Gold | None
    facts: Facts
    calibration: Sequence[Prompt]
    quantile: float
    folder: Path
    device: str
    run: RunInfo | None = None


@dataclass(frozen=True, kw_only=True)
class FactFindings:
    """How many facts were tried and how many findings stored, and what has to be known of them."""

    attempts: int = 0
    findings: int = 0
    notes: tuple[str, ...] = ()


def measure_gap(rm: RewardModel, request: GapRequest, *, observer: Observer, command: str) -> GapReport:
    """The report.

    Raises:
        ConfigError: nothing to measure; and as ``measure_series``.
        ModelError, TooLongError: from the models.
    """
    facts, plan, run = request.facts, request.plan, request.run
    if not request.policies and not facts.facts:
        raise ConfigError(
            "nothing to measure: no policy to choose from, and no facts. Give --policy FOLDER, or --facts FILE"
        )
    series = Series(selections=[], notes=[])
    if request.policies:
        series = measure_series(
            rm,
            request.policies,
            request.prompts,
            plan,
            request.gold,
            folder=request.folder,
            device=request.device,
            observer=observer,
        )
    with observer.stage("scoring facts and their swaps") as advance:
        scored = score_facts(rm, facts.facts, advance)
    with observer.stage("findings among the swaps") as advance:
        stored = _store(rm, scored, request, advance)
    return GapReport(
        selections=series.selections,
        facts=fact_rates(scored, facts.abstained, seed=plan.seed),
        findings=stored.findings,
        fact_attempts=stored.attempts,
        settings=_settings(rm, request, n_policies=len(series.selections)),
        notes=[
            *(run_notes(run, rm, plan) if run is not None else []),
            *series.notes,
            *(_floor_notes(request) if series.selections else []),
            *_fact_notes(facts.facts, scored),
            *stored.notes,
        ],
        command=command,
        code_version=package_version(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
    )


def _settings(rm: RewardModel, request: GapRequest, *, n_policies: int) -> dict[str, Any]:
    plan, gold = request.plan, request.gold if n_policies else None
    return {
        "rm": rm.name,
        "rm_fingerprint": rm.fingerprint,
        "reward_dtype": rm.reward_dtype,
        "run": request.run.name if request.run else None,
        "policies": n_policies,
        "gold": gold.name if gold else None,
        "gold_fingerprint": gold.fingerprint if gold else None,
        "prompts": len(request.prompts),
        "samples": plan.n,
        "max_new_tokens": plan.max_new_tokens,
        "temperature": plan.temperature,
        "seed": plan.seed,
        "threshold_quantile": request.quantile,
        "facts": dict(Counter(fact.kind for fact in request.facts.facts)),
    }


def _floor_notes(request: GapRequest) -> list[str]:
    floor = gold_floor(request.gold, request.prompts) if request.gold else None
    if floor is None:
        return []
    return [
        f"Gold of the other prompts' good answers is {floor.chance:.3f}, of the best of a few given to every prompt "
        f"{floor.constant:.3f}: what is not above that is no answer to the prompt."
    ]


def run_notes(run: RunInfo, rm: RewardModel, plan: SamplePlan) -> list[str]:
    """Where this measurement and the run that its policies come from differ."""
    notes = []
    if run.models.get("rm") not in (None, rm.fingerprint):
        notes.append(f"{run.name} was optimised against another reward, not against {rm.name}.")
    longest, least = (run.settings.get(name) for name in ("max_new_tokens", "min_new_tokens"))
    if longest not in (None, plan.max_new_tokens):
        notes.append(f"{run.name} was trained on answers of {longest} tokens; here they have {plan.max_new_tokens}.")
    if least:
        notes.append(f"{run.name} let no answer end before {least} tokens; here they may.")
    return notes


def _fact_notes(facts: Sequence[Fact], scored: Sequence[ScoredFact]) -> list[str]:
    lost = len(facts) - len(scored)
    found = [f"{lost} facts were left out: the RM cannot read texts so long."] if lost else []
    if scored and len({one.fact.prompt.group_key for one in scored}) < 10:
        found.append("The facts come from fewer than 10 groups of prompts; intervals are too narrow.")
    if not facts:
        found.append("No facts: only docs world proves its own. Give --facts FILE for others.")
    return found


def _store(rm: RewardModel, scored: Sequence[ScoredFact], request: GapRequest, progress: Advance) -> FactFindings:
    """Findings go to the corpus; none where too few references set a bar."""
    if not scored:
        return FactFindings()
    if sum(prompt.reference is not None for prompt in request.calibration) < MIN_CLEAN:
        note = f"Fewer than {MIN_CLEAN} calibration references: no bar, so no swap could become a finding."
        return FactFindings(notes=(note,))
    seed = request.plan.seed
    criteria = clean_criteria(rm, request.calibration, quantile=request.quantile, progress=progress)
    campaign = digest(["gap", rm.fingerprint, rm.pipeline_hash, criteria.data_hash, seed])
    hashed = digest([criteria.quantile, criteria.data_hash])
    context = RoundContext(campaign_id=campaign, round=0, rm=rm, criteria_hash=hashed, seed=seed)
    rows = factual_findings(scored, criteria, context)
    by_id = {one.fact.prompt.prompt_id: one.fact.prompt for one in scored if one.fact.prompt.split == "held_out"}
    findings = [finding for _, finding in rows if finding is not None]
    if rows:
        Corpus(request.folder / "corpus").append(*by_id.values(), *findings, *(attempt for attempt, _ in rows))
    return FactFindings(attempts=len(rows), findings=len(findings))
