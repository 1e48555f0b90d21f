"""The whole of `rmminer gap`: the choice among each policy's samples, the facts, the findings that come of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import Corpus
from corpus.records import Prompt, digest
from miner.campaigns.usage import machine
from miner.errors import ConfigError
from miner.judging.criteria import MIN_CLEAN, clean_criteria
from miner.judging.gold import Gold
from miner.measuring.diversity.policy import Source
from miner.measuring.diversity.sampling import SamplePlan
from miner.measuring.gap.facts import Fact, Facts
from miner.measuring.gap.probe import Judged, fact_rates, factual_findings, judge_facts
from miner.measuring.gap.report import GapReport, Selection
from miner.measuring.gap.series import measure_series
from miner.progress import Advance, Observer
from miner.rewards.base import RewardModel
from miner.searching.attempts import RoundContext
from miner.searching.version import package_version

if TYPE_CHECKING:
    from miner.measuring.overopt.log import RunInfo


def measure_gap(
    rm: RewardModel,
    *,
    policies: Sequence[Source],
    prompts: Sequence[Prompt],
    plan: SamplePlan,
    gold: Gold | None,
    facts: Facts,
    calibration: Sequence[Prompt],
    quantile: float,
    folder: Path,
    device: str,
    observer: Observer,
    command: str,
    run: RunInfo | None = None,
) -> GapReport:
    """The report. Without policies there is no choice to measure, without facts no probe; ``calibration`` references
    set the bar for findings, which are added to ``folder/corpus``. ``run`` is that of which the policies are
    checkpoints.

    Raises:
        ConfigError: nothing to measure; and as ``measure_series``.
        ModelError, TooLongError: from the models.
    """
    if not policies and not facts.facts:
        raise ConfigError(
            "nothing to measure: no policy to choose from, and no facts. Give --policy FOLDER, or --facts FILE"
        )
    notes = run_notes(run, rm, plan) if run is not None else []
    selections: list[Selection] = []
    if policies:
        series = measure_series(rm, policies, prompts, plan, gold, folder=folder, device=device, observer=observer)
        selections, notes = series.selections, [*notes, *series.notes]
    with observer.stage("scoring facts and their swaps") as advance:
        judged = judge_facts(rm, facts.facts, advance)
    notes += _fact_notes(facts.facts, judged)
    with observer.stage("findings among the swaps") as advance:
        attempts, findings = _store(rm, judged, calibration, quantile, plan.seed, folder, notes, advance)
    settings: dict[str, Any] = {
        "rm": rm.name,
        "rm_fingerprint": rm.fingerprint,
        "reward_dtype": rm.reward_dtype,
        "run": run.name if run else None,
        "policies": len(selections),
        "gold": gold.name if gold and selections else None,
        "gold_fingerprint": gold.fingerprint if gold and selections else None,
        "prompts": len(prompts),
        "samples": plan.n,
        "max_new_tokens": plan.max_new_tokens,
        "temperature": plan.temperature,
        "seed": plan.seed,
        "threshold_quantile": quantile,
        "facts": dict(Counter(fact.kind for fact in facts.facts)),
    }
    return GapReport(
        selections=selections,
        facts=fact_rates(judged, facts.abstained, seed=plan.seed),
        findings=findings,
        fact_attempts=attempts,
        settings=settings,
        notes=notes,
        command=command,
        code_version=package_version(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
    )


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


def _fact_notes(facts: Sequence[Fact], judged: Sequence[Judged]) -> list[str]:
    lost = len(facts) - len(judged)
    found = [f"{lost} facts were left out: the RM cannot read texts so long."] if lost else []
    if judged and len({one.fact.prompt.group_key for one in judged}) < 10:
        found.append("The facts come from fewer than 10 groups of prompts; intervals are too narrow.")
    if not facts:
        found.append("No facts: only docs world proves its own. Give --facts FILE for others.")
    return found


def _store(
    rm: RewardModel,
    judged: Sequence[Judged],
    calibration: Sequence[Prompt],
    quantile: float,
    seed: int,
    folder: Path,
    notes: list[str],
    progress: Advance,
) -> tuple[int, int]:
    """How many facts were tried and how many findings stored; none where too few references set a bar."""
    if not judged:
        return 0, 0
    if sum(prompt.reference is not None for prompt in calibration) < MIN_CLEAN:
        notes.append(f"Fewer than {MIN_CLEAN} calibration references: no bar, so no swap could become a finding.")
        return 0, 0
    criteria = clean_criteria(rm, calibration, quantile=quantile, progress=progress)
    campaign = digest(["gap", rm.fingerprint, rm.pipeline_hash, criteria.data_hash, seed])
    hashed = digest([criteria.quantile, criteria.data_hash])
    context = RoundContext(campaign_id=campaign, round=0, rm=rm, criteria_hash=hashed, seed=seed)
    rows = factual_findings(judged, criteria, context)
    by_id = {one.fact.prompt.prompt_id: one.fact.prompt for one in judged if one.fact.prompt.split == "held_out"}
    findings = [finding for _, finding in rows if finding is not None]
    if rows:
        Corpus(folder / "corpus").append(*by_id.values(), *findings, *(attempt for attempt, _ in rows))
    return len(rows), len(findings)
