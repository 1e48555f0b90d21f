"""What a stage attacks: which attacks, and on which prompts. Nothing is loaded for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attacks import Carried, Query, Seeds, SurrogateSwaps
from corpus.records import Prompt
from miner.config.campaign import AttackSection, CampaignConfig
from miner.errors import ConfigError
from miner.progress import Observer
from miner.searching.scheduling import require_schedulable
from miner.worlds.world import World

STARTS: tuple[type[Query[Any]], ...] = (SurrogateSwaps, Carried, Seeds)
MIN_HELD_OUT = 8  # prompts: with fewer, an interval says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """One attack and the prompts that it is to try."""

    section: AttackSection
    prompts: Sequence[Prompt]

    @property
    def is_seeded(self) -> bool:
        """Whether it starts from findings on other prompts."""
        return self.starts_from is Seeds

    @property
    def starts_from(self) -> type[Query[Any]] | None:
        """The query type that the stage must prepare first (Seeds, Carried, SurrogateSwaps), or None."""
        needs = self.section.build().needs
        return next((kind for kind in STARTS if kind in needs), None)


def mined(config: CampaignConfig, world: World, round_number: int) -> list[Attacked]:
    """The attacks of a round's mining, each on the same train prompts.

    Raises:
        ConfigError: too few prompts, or clean answers to set a bar, or what a schedule cannot choose among.
    """
    world.require_clean()
    prompts = world.sample("train", config.mine.prompts, seed=config.seed + round_number)
    sections = config.stage_attacks(config.mine, round_number)
    if config.mine.schedule is not None:
        require_schedulable(sections, prompts)
    return [Attacked(section=section, prompts=prompts) for section in sections]


def held_out_prompts(config: CampaignConfig, world: World) -> tuple[Prompt, ...]:
    """The prompts that an evaluation measures on.

    Raises:
        ConfigError: too few for an interval that says anything.
    """
    asked = config.evaluate.prompts
    prompts = world.sample("held_out", asked, seed=config.seed)
    if len(prompts) < MIN_HELD_OUT:
        way_out = (
            f"Ask for more: --set evaluate.prompts={MIN_HELD_OUT}"
            if asked
            else "Give that split more, --set data.fractions=…, or give more data"
        )
        raise ConfigError(
            f"{len(prompts)} held-out prompts are too few: with {MIN_HELD_OUT - 1} or fewer, a 95 % interval of a "
            f"success rate spans half of all values. Expected at least {MIN_HELD_OUT}. {way_out}"
        )
    return prompts


def evaluated(config: CampaignConfig, world: World, round_number: int, observer: Observer) -> list[Attacked]:
    """The attacks of an evaluation with their prompts. One for prompts together is given held-out prompts of its own,
    so that what it finds can be measured on the others. Errors as ``World.require_clean`` and
    ``held_out_prompts``."""
    world.require_clean()
    prompts = held_out_prompts(config, world)
    found: list[Attacked] = []
    pool = len(world.by_split["held_out"])
    for section in config.evaluated_attacks(round_number):
        size = section.build().prompts_per_attempt
        if size == 1:
            found.append(Attacked(section=section, prompts=prompts))
        elif size <= pool - len(prompts):
            everyone = world.sample("held_out", len(prompts) + size, seed=config.seed)
            found.append(Attacked(section=section, prompts=everyone[len(prompts) :]))
        else:
            observer.note(
                f"attack {section.name!r} is left out of the evaluation: it needs {size} held-out prompts beside "
                f"the {len(prompts)} it is measured on, and there are {pool}"
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedOn:
    """An attack with the prompts that choose its hyper-parameters, and with those that say what the choice is worth."""

    train: Attacked
    held_out: Attacked


def tuned_on(config: CampaignConfig, world: World, name: str) -> TunedOn:
    """What tuning the attack ``name`` works on.

    Raises:
        ConfigError: no such attack in the campaign, nothing to tune in it, or too few prompts or clean answers.
    """
    section, base = config.tune, _section_of(config, name)
    attack = base.build()
    if attack.prompts_per_attempt > 1:
        raise ConfigError(
            f"attack {name!r} works on many prompts together, and trials are paired by prompt. "
            "Tune another: --attack gcg"
        )
    if not attack.space:
        raise ConfigError(f"attack {name!r} declares no hyper-parameter to tune. Tune another: --attack gcg")
    world.require_clean()
    return TunedOn(
        train=Attacked(section=base, prompts=world.sample("train", section.prompts, seed=config.seed)),
        held_out=Attacked(section=base, prompts=world.sample("held_out", section.held_out_prompts, seed=config.seed)),
    )


def _section_of(config: CampaignConfig, name: str) -> AttackSection:
    for section in config.attacks:
        if section.name == name:
            return section
    raise ConfigError(f"attack {name!r} has no [[attacks]] entry. There: {', '.join(a.name for a in config.attacks)}")
