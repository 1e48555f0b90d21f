"""Tunes an attack: the hyper-parameters that need the fewest queries to a certified finding.

Every trial attacks the same train prompts with the same seeds, so trials are paired by prompt: one that Wilcoxon's
signed-rank test calls worse than the best so far is given up before it has spent its queries. Attempts are stored like
any others, so that a trial that was cut off costs nothing the second time. The winner is measured beside the default on
held-out prompts: the best of many trials on the prompts that chose it is mostly lucky.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from corpus.records import Attempt, Prompt, digest
from miner.campaigns.opening import OpenCampaign
from miner.campaigns.planned import tuned_on
from miner.campaigns.requirements import require_attacks
from miner.campaigns.tuning.attempting import attempt_each, cost_identity
from miner.campaigns.tuning.report import TunedRow, TuningReport
from miner.campaigns.tuning.study import ask, finished, open_study
from miner.config.campaign import AttackSection, TunedSection
from miner.errors import ConfigError
from miner.statistics import paired_difference, rate

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

PROMPTS_AT_ONCE = 8  # between two questions whether to give a trial up
MIN_FOR_IMPORTANCE = 12
MIN_COMPARED = 4  # held-out prompts


def tune(campaign: OpenCampaign, name: str) -> TuningReport:
    """Tune the campaign's attack ``name`` as its ``tune`` section says; writes ``tuning.json`` and ``tuned.toml``.

    Running again goes on from the trials that the run's folder holds.

    Raises:
        ConfigError: no such attack in the campaign, nothing to tune in it, or too few prompts or clean answers.
    """
    section, tuned = campaign.config.tune, tuned_on(campaign.config, campaign.world, name)
    require_attacks(campaign.models, [tuned.train, tuned.held_out], 0)
    base, prompts, held_out = tuned.train.section, tuned.train.prompts, tuned.held_out.prompts
    default = {key: base.build().params[key] for key in base.build().space}
    study = open_study(campaign.folder, _study_name(campaign, base, prompts), default, campaign.config.seed)
    with campaign.observer.stage(f"tuning {name}") as advance:
        while len(finished(study)) < section.trials:
            advance(len(finished(study)), section.trials)
            _try_one(study, campaign, base, prompts)
        advance(section.trials, section.trials)
    report = _report(study, campaign, base, default, prompts, held_out)
    report.write(campaign.folder)
    _write_tuned(campaign, report)
    return report


def _try_one(study: Study, campaign: OpenCampaign, base: AttackSection, prompts: Sequence[Prompt]) -> None:
    from optuna.trial import TrialState

    trial, params = ask(study, base.build().space)
    costs: list[float] = []
    for start in range(0, len(prompts), PROMPTS_AT_ONCE):
        part = prompts[start : start + PROMPTS_AT_ONCE]
        for attempt in _attempts(campaign, _with(base, params), part):
            trial.report(_cost(attempt), step=len(costs))
            costs.append(_cost(attempt))
        if len(costs) < len(prompts) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    study.tell(trial, sum(costs) / len(costs))


def _attempts(campaign: OpenCampaign, section: AttackSection, prompts: Sequence[Prompt]) -> list[Attempt]:
    return attempt_each(campaign, section, prompts, budget_queries=campaign.config.tune.budget_queries)


def _cost(attempt: Attempt) -> float:
    return float(attempt.budget if attempt.queries_to_find is None else attempt.queries_to_find)


def _report(
    study: Study,
    campaign: OpenCampaign,
    base: AttackSection,
    default: dict[str, Any],
    prompts: Sequence[Prompt],
    held_out: Sequence[Prompt],
) -> TuningReport:
    rows = [_row(trial) for trial in finished(study)]
    complete = [row for row in rows if row.complete]
    best = min(complete, key=lambda row: (row.cost, row.number))
    default_costs = [_cost(attempt) for attempt in _attempts(campaign, _with(base, default), prompts)]
    with campaign.observer.stage("default and tuned on held-out prompts") as advance:
        before = _attempts(campaign, _with(base, default), held_out)
        advance(1, 2)
        after = _attempts(campaign, _with(base, dict(best.params)), held_out)
        advance(2, 2)
    whole = [both for both in zip(before, after, strict=True) if all(a.outcome != "error" for a in both)]
    if len(whole) < MIN_COMPARED:
        raise ConfigError(f"only {len(whole)} held-out prompts without an error; fix what the notes above name")
    return TuningReport(
        attack=base.name,
        rm_fingerprint=campaign.models.rm(0).fingerprint,
        seed=campaign.config.seed,
        budget=campaign.config.tune.budget_queries,
        train_prompts=len(prompts),
        default=default,
        tuned=best.params,
        default_cost=sum(default_costs) / len(default_costs),
        tuned_cost=best.cost,
        importances=_importances(study, len(complete)),
        trials=tuple(rows),
        held_out_default=rate([one.outcome == "found" for one, _ in whole]),
        held_out_tuned=rate([other.outcome == "found" for _, other in whole]),
        change=paired_difference([_cost(other) for _, other in whole], [_cost(one) for one, _ in whole], groups=None),
    )


def _row(trial: FrozenTrial) -> TunedRow:
    costs = list(trial.intermediate_values.values())
    return TunedRow(
        number=trial.number,
        params=trial.params,
        cost=sum(costs) / len(costs),
        n=len(costs),
        complete=trial.state.name == "COMPLETE",
    )


def _importances(study: Study, n_complete: int) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    if n_complete < MIN_FOR_IMPORTANCE:
        return {}
    return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def _with(base: AttackSection, params: dict[str, Any]) -> AttackSection:
    return base.model_copy(update={"params": {**base.params, **params}, "budget_queries": None})


def _study_name(campaign: OpenCampaign, base: AttackSection, prompts: Sequence[Prompt]) -> str:
    """Other prompts, budget, RM, code, criteria or fixed hyper-parameters: another study in the same journal."""
    fixed = [base.name, base.params, campaign.config.tune.budget_queries, cost_identity(campaign, base)]
    return f"{base.name}-{digest([*fixed, [prompt.prompt_id for prompt in prompts]])[:12]}"


def _write_tuned(campaign: OpenCampaign, report: TuningReport) -> None:
    config = campaign.config
    attacks = tuple(
        _with(section, dict(report.tuned)).model_copy(update={"budget_queries": section.budget_queries})
        if section.name == report.attack
        else section
        for section in config.attacks
    )
    tuned = TunedSection(attack=report.attack, rm_fingerprint=report.rm_fingerprint)
    campaign.run.write_config(config.model_copy(update={"attacks": attacks, "tuned": tuned}), "tuned.toml")
