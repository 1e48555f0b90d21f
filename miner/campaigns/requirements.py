"""What a stage is refused for before its first attempt or step: asked by the stage itself, and by a dry run."""

from __future__ import annotations

from collections.abc import Sequence

from corpus import Corpus
from corpus.records import Finding
from miner.campaigns.opening import CampaignView
from miner.campaigns.planned import Attacked, evaluated, mined
from miner.campaigns.round_models import RoundModels
from miner.config.campaign import AttackSection
from miner.errors import CapabilityError
from miner.judging.reviews import PeoplesVerdicts
from miner.patching.findings import training_findings
from miner.patching.trainable import Trainable, trainable
from miner.progress import Silent
from miner.searching.oracle import require_answerable


def require_attacks(models: RoundModels, attacked: Sequence[Attacked], round_number: int) -> None:
    """Refuse attacks that the RM of a round, or the campaign, cannot answer, and prompts on which it cannot score.

    Raises:
        CapabilityError, ModelError: so it is.
    """
    prompts = {prompt.prompt_id: prompt for one in attacked for prompt in one.prompts}
    models.rm(round_number).require_prompts([*prompts.values()])
    if why := unable(models, [one.section for one in attacked], round_number):
        raise next(iter(why.values()))


def unable(models: RoundModels, sections: Sequence[AttackSection], round_number: int) -> dict[str, CapabilityError]:
    """The attacks that the RM of a round, or the campaign, cannot answer, by name with the reason."""
    found: dict[str, CapabilityError] = {}
    for section in sections:
        try:
            require_answerable(section.build(), models.rm(round_number), has_policy=models.world.policy is not None)
        except CapabilityError as error:
            found[section.name] = error
    return found


def patch_findings(campaign: CampaignView, view: Corpus | None = None) -> list[Finding]:
    """What the next patch may train on: findings of this campaign's train prompts (in ``view``), held-out families and
    forms left out, and what people overruled."""
    people = PeoplesVerdicts((view or campaign.corpus).reviews())
    return training_findings(campaign.findings(view), campaign.config.patch, people)


def require_patch(campaign: CampaignView, round_number: int) -> Trainable:
    """The RM that a patch of this round starts from, which can be trained as the config says and has findings to be
    trained on.

    Raises:
        CapabilityError, ConfigError, NoRoomError: it cannot, or there are none.
    """
    from miner.patching.patch import require_findings  # which loads the trainer: seconds

    rm = _require_patch_method(campaign, 0 if campaign.config.patch.starts == "given" else round_number)
    require_findings(patch_findings(campaign), campaign.config.patch)
    return rm


def _require_patch_method(campaign: CampaignView, round_number: int) -> Trainable:
    from miner.patching.patch import require_method

    rm = trainable(campaign.models.rm(round_number))
    require_method(rm, campaign.world.by_split["train"], campaign.config.patch)
    return rm


def require_cycle(campaign: CampaignView) -> None:
    """Refuse a cycle for what would end it later on, once hours were spent. An RM that cannot be retrained is none of
    that: it is attacked all the same. Errors as those of its stages."""
    config, models = campaign.config, campaign.models
    attacked = evaluated(config, campaign.world, min(config.rounds, 1), Silent())
    if config.rounds:
        attacked += mined(config, campaign.world, 0)
    require_attacks(models, attacked, 0)
    if config.rounds and not campaign.run.has_patch(config.rounds) and models.rm(0).is_trainable:
        _require_patch_method(campaign, 0)
