"""What a dry run asks: all that the run asks before its first attempt. The run's folder is only read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from miner.campaigns.opening import CampaignView
from miner.campaigns.planned import Attacked, evaluated, mined, tuned_on
from miner.campaigns.requirements import require_attacks, require_cycle, require_patch, unable
from miner.campaigns.round_models import RoundModels
from miner.campaigns.run_folder import RunFolder
from miner.config.campaign import CampaignConfig
from miner.progress import Observer
from miner.worlds.docs.models import DOCS
from miner.worlds.world import World

MAX_CHECKED_S = 60  # of measuring to see whether the run would be refused; what takes longer is left to the run
PASSES = 4  # over the clean answers for a bar: in the ranking dtype, and slower in the exact one

T = TypeVar("T")


@dataclass(frozen=True)
class Rehearsal(RunFolder):
    """A run's folder that is only read: what is measured or chosen once goes to the folder ``scratch`` instead."""

    scratch: Path

    def once(self, name: str, made_from: object, kind: type[T], make: Callable[[], T]) -> T:
        stored = self.kept(name, made_from, kind)
        return RunFolder(self.scratch).once(name, made_from, kind, make) if stored is None else stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Which stages are asked about, for the RM of which round; of ``tune`` also which attack.

    With ``leaving_out_unable`` attacks that the RM cannot answer are left out, as ``bench`` does.
    """

    names: tuple[str, ...]
    round: int = 0
    tuned_attack: str = ""
    leaving_out_unable: bool = False

    @property
    def is_cycle(self) -> bool:
        return "evaluate" in self.names and len(self.names) > 1


def attacked_in(config: CampaignConfig, world: World, name: str, stages: Stages, observer: Observer) -> list[Attacked]:
    """What a stage attacks. Errors as the stage's own."""
    if name == "mine":
        return mined(config, world, stages.round)
    if name == "evaluate":
        patched = "patch" in stages.names or stages.round  # an RM that is patched meets more attacks
        return evaluated(config, world, 1 if patched else 0, observer)
    if name == "tune":
        tuned = tuned_on(config, world, stages.tuned_attack)
        return [tuned.train, tuned.held_out]
    return []


def require_answers(
    campaign: CampaignView, stages: Stages, attacked: dict[str, list[Attacked]]
) -> dict[str, list[Attacked]]:
    """``attacked`` without what is left out; refused is what the stages would refuse."""
    models = campaign.models
    if stages.leaving_out_unable:
        why = unable(models, campaign.config.attacks, stages.round)
        for error in why.values():
            campaign.observer.note(f"left out of the suite: {error}")
        attacked = {name: [one for one in found if one.section.name not in why] for name, found in attacked.items()}
    if stages.is_cycle:
        require_cycle(campaign)
    for found in attacked.values():
        require_attacks(models, found, stages.round)
    if stages.names == ("patch",) and not campaign.run.has_patch(stages.round + 1):
        require_patch(campaign, stages.round)
    return attacked


def measured_at_once(
    models: RoundModels,
    round_number: int,
    per_second: float,
    judging_s: float | None,
    training: Collection[str],
) -> tuple[str, ...]:
    """Sets the bar, calibrates the checks and loads the policy as the run does; why not, for what is not there yet or
    takes long. Errors as those of ``models``."""
    config, rm, unchecked = models.config, models.rm(round_number), []
    n_clean = len(models.bar_setting_pairs(round_number).pairs)
    if "rm" in training:
        unchecked.append("the bar: the RM is still to be trained")
    elif rm.is_billed:
        unchecked.append(f"whether {n_clean} clean answers set a bar: asking may cost money")
    elif (seconds := PASSES * n_clean / per_second) > MAX_CHECKED_S:
        unchecked.append(f"whether {n_clean} clean answers set a bar: about {seconds / 60:.0f} min")
    else:
        models.criteria(round_number)
    asks_docs = config.data.world == DOCS if config.reference_lm is None else config.reference_lm.source == DOCS
    if asks_docs and models.world.reference_lm is None:
        unchecked.append("the checks: the built-in reference LM may still have to be made")
    elif judging_s is not None and judging_s > MAX_CHECKED_S:
        unchecked.append(f"whether the checks can read this text: about {judging_s / 60:.0f} min")
    else:
        _ = models.certifier  # calibrates it
    if "policy" not in training:
        _ = models.policy  # loads it
    return tuple(unchecked)
