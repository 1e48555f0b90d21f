"""The gap along a series of policies, such as the checkpoints of a run: same prompts, same sizes, same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.records import Prompt
from miner.errors import ConfigError
from miner.judging.gold import Gold
from miner.language_models import LanguageModel, load_language_model
from miner.measuring.diversity.policy import MeasuredSource
from miner.measuring.diversity.response_sets import MIN_SETS
from miner.measuring.diversity.sampling import SamplePlan, sample_response_sets
from miner.measuring.gap.measure import measure_selection
from miner.measuring.gap.pools import ScoredSamples, nothing_to_choose, score_pools
from miner.measuring.gap.report import Selection
from miner.progress import Observer
from miner.rewards.base import RewardModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A selection of every policy, in the order given, and what a reader must know about them."""

    selections: list[Selection]
    notes: list[str]


def measure_series(
    rm: RewardModel,
    policies: Sequence[MeasuredSource],
    prompts: Sequence[Prompt],
    plan: SamplePlan,
    gold: Gold | None,
    *,
    folder: Path,
    device: str,
    observer: Observer,
) -> Series:
    """Sample and score one policy after the other; each is compared with the first. ``folder`` keeps the samples.

    A policy whose samples leave nothing to choose has no choice, and a note.

    Raises:
        ConfigError: no gold, texts instead of a policy, too few prompts or samples, or nothing to choose anywhere.
        ModelError, TooLongError: from the models.
    """
    if gold is None:
        raise ConfigError("no gold: no references to compare with, and no RM instead. Give one: --gold-rm FOLDER")
    usable = [prompt for prompt in prompts if prompt.reference is not None or not gold.needs_reference]
    require_choice(policies, usable, plan)
    notes = []
    if len(usable) < len(prompts):
        notes.append(f"{len(prompts) - len(usable)} prompts without a reference were left out: this gold needs one.")
    measuring = _Scoring(rm=rm, prompts=usable, plan=plan, gold=gold, folder=folder, observer=observer)
    first: list[ScoredSamples] | None = None
    selections: list[Selection] = []
    bare: list[str] = []
    for source in policies:
        assert source.policy is not None
        with observer.stage(f"{source.label}: loading the policy"):
            policy = load_language_model(source.policy, device=device)
        if not policy.tokenizer.chat_template:
            bare.append(source.label)
        pools, lost = measuring.scored(source.label, policy)
        notes += lost
        with observer.stage(f"{source.label}: what the choice is worth"):
            found = measure_selection(
                pools,
                label=source.label,
                fingerprint=policy.fingerprint,
                sqrt_kl=source.sqrt_kl,
                first=first,
                seed=plan.seed,
            )
        selections.append(found)
        if found.choice is None:
            notes.append(_nothing_note(found))
        first = first or pools
    if first is not None and all(one.choice is None for one in selections):
        raise ConfigError(
            f"gold ({gold.name}) is constant: all {plan.n} samples of every prompt have the same, so that "
            "no choice among them can gain anything. Give another gold: --gold-rm FOLDER, or data with references"
        )
    if first is not None and len(selections) > 1 and nothing_to_choose(first):
        notes.append(f"{selections[0].label} has no gap, so that the others are not compared with it.")
    return Series(selections=selections, notes=[*_template_notes(bare, len(policies)), *notes])


@dataclass(frozen=True, kw_only=True)
class _Scoring:
    """What the samples of every policy of a series are drawn and scored with."""

    rm: RewardModel
    prompts: Sequence[Prompt]
    plan: SamplePlan
    gold: Gold
    folder: Path
    observer: Observer

    def scored(self, label: str, policy: LanguageModel) -> tuple[list[ScoredSamples], list[str]]:
        """The samples of one policy, and a note where some got no score.

        Raises:
            ConfigError: too few prompts are left for an interval.
        """
        with self.observer.stage(f"{label}: sampling") as advance:
            written = sample_response_sets(
                policy, self.prompts, self.plan, label=label, folder=self.folder, progress=advance
            ).written
        with self.observer.stage(f"{label}: scoring the samples") as advance:
            pools = score_pools(self.rm, self.gold, written, progress=advance)
        lost = len(written) - len(pools)
        if not lost:
            return pools, []
        left_out = f"{label}: {lost} of {len(written)} prompts left out: gold or the RM gave a sample no score"
        _require_enough([pool.group for pool in pools], f"{left_out} (gold: {self.gold.name}; RM: {self.rm.name})")
        return pools, [f"{left_out}."]


def require_choice(policies: Sequence[MeasuredSource], prompts: Sequence[Prompt], plan: SamplePlan) -> None:
    """Refuses, before any model is loaded, what could show no choice or have no interval.

    Raises:
        ConfigError: texts instead of a policy, fewer than two samples, too few prompts.
    """
    if texts := [source.label for source in policies if source.policy is None]:
        raise ConfigError(f"{texts[0]} is texts; a choice is among samples of a policy. Give a model's folder")
    if plan.n < 2:
        raise ConfigError(f"a choice needs two samples or more of each prompt; got {plan.n}. Give more: --samples")
    _require_enough([prompt.group_key or prompt.prompt_id for prompt in prompts], "Give more: --prompts")


def _require_enough(groups: Sequence[str], advice: str) -> None:
    """Refuses what could have no interval; ``groups``: of every prompt its own."""
    if len(set(groups)) < MIN_SETS:
        raise ConfigError(
            f"{len(groups)} prompts of {len(set(groups))} groups are too few for an interval; "
            f"expected at least {MIN_SETS} groups. {advice}"
        )


def _template_notes(bare: Sequence[str], n_policies: int) -> list[str]:
    """``bare``: the policies without a chat template."""
    if not bare:
        return []
    who = "No policy has a chat template" if len(bare) == n_policies > 1 else f"{', '.join(bare)}: no chat template"
    found = [f"{who}: prompts were given as bare text, turns joined by line breaks."]
    if len(bare) < n_policies:
        found.append("Other policies have one: they did not read the same prompts.")
    return found


def _nothing_note(found: Selection) -> str:
    return (
        f"{found.label}: all samples of a prompt have the same gold ({found.distinct.value:.1f} distinct of "
        f"{found.pool}): there is nothing to choose, and no gap is claimed."
    )
