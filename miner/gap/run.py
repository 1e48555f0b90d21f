"""The whole of `rmminer gap`: the choice among samples, the facts, and the findings that come of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from corpus import Corpus
from corpus.records import Prompt, digest
from miner.criteria import MIN_CLEAN, clean_criteria
from miner.diversity.sampling import SamplePlan, sample_writings
from miner.errors import ConfigError
from miner.gap.facts import Fact, Facts
from miner.gap.measure import measure_selection
from miner.gap.probe import Judged, fact_rates, factual_findings, judge_facts
from miner.gap.report import GapReport, Selection
from miner.gold import Gold
from miner.language_models import LanguageModel
from miner.progress import Observer
from miner.rewards.base import RewardModel
from miner.summarise import machine
from miner.version import package_version


def measure_gap(
    rm: RewardModel,
    *,
    policy: LanguageModel | None,
    prompts: Sequence[Prompt],
    plan: SamplePlan,
    gold: Gold | None,
    facts: Facts,
    calibration: Sequence[Prompt],
    quantile: float,
    folder: Path,
    observer: Observer,
    command: str,
) -> GapReport:
    """The report. Without a policy there is no choice to measure, without facts no probe; ``calibration`` references
    set the bar for findings, which are added to ``folder/corpus``.

    Raises:
        ConfigError: nothing to measure; too few samples or prompts; a gold that is constant.
        ModelError, TooLongError: from the models.
    """
    if policy is None and not facts.facts:
        raise ConfigError(
            "nothing to measure: no policy to choose from, and no facts. Give --policy FOLDER, or --facts FILE"
        )
    notes: list[str] = []
    selection = None
    if policy is not None:
        selection = _selection(rm, policy, prompts, plan, gold, folder, observer, notes)
    with observer.stage("scoring facts and their swaps") as advance:
        judged = judge_facts(rm, facts.facts)
        advance(1, 1)
    notes += _fact_notes(facts.facts, judged)
    attempts, findings = _store(rm, judged, calibration, quantile, plan.seed, folder, notes)
    settings: dict[str, Any] = {
        "rm": rm.name,
        "rm_fingerprint": rm.fingerprint,
        "reward_dtype": rm.reward_dtype,
        "policy": policy.name if policy else None,
        "policy_fingerprint": policy.fingerprint if policy else None,
        "gold": gold.name if gold and selection else None,
        "prompts": len(prompts),
        "samples": plan.n,
        "max_new_tokens": plan.max_new_tokens,
        "temperature": plan.temperature,
        "seed": plan.seed,
        "threshold_quantile": quantile,
        "facts": dict(Counter(fact.kind for fact in facts.facts)),
    }
    return GapReport(
        selection=selection,
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


def _selection(
    rm: RewardModel,
    policy: LanguageModel,
    prompts: Sequence[Prompt],
    plan: SamplePlan,
    gold: Gold | None,
    folder: Path,
    observer: Observer,
    notes: list[str],
) -> Selection:
    if gold is None:
        raise ConfigError("no gold: the data has no references to compare with. Give one: --gold-rm FOLDER")
    usable = [prompt for prompt in prompts if prompt.reference is not None or not gold.needs_reference]
    if len(usable) < len(prompts):
        notes.append(f"{len(prompts) - len(usable)} prompts without a reference were left out: this gold needs one.")
    if not policy.tokenizer.chat_template:
        notes.append(
            f"{policy.name} has no chat template: prompts were given as bare text, turns joined by line breaks."
        )
    with observer.stage("sampling the policy") as advance:
        written = sample_writings(policy, usable, plan, label=policy.name, folder=folder, progress=advance).written
    with observer.stage("scoring the samples") as advance:
        return measure_selection(rm, gold, written, seed=plan.seed, progress=advance)


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
) -> tuple[int, int]:
    """How many facts were tried and how many findings stored; none where too few references set a bar."""
    if not judged:
        return 0, 0
    if sum(prompt.reference is not None for prompt in calibration) < MIN_CLEAN:
        notes.append(f"Fewer than {MIN_CLEAN} calibration references: no bar, so no swap could become a finding.")
        return 0, 0
    criteria = clean_criteria(rm, calibration, quantile=quantile)
    campaign = digest(["gap", rm.fingerprint, rm.pipeline_hash, criteria.data_hash, seed])
    rows = factual_findings(rm, judged, criteria, campaign_id=campaign, seed=seed)
    by_id = {one.fact.prompt.prompt_id: one.fact.prompt for one in judged if one.fact.prompt.split == "held_out"}
    findings = [finding for _, finding in rows if finding is not None]
    if rows:
        Corpus(folder / "corpus").append(*by_id.values(), *findings, *(attempt for attempt, _ in rows))
    return len(rows), len(findings)
