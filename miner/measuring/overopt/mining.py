"""A run's checkpoints as attackers: what of their samples wins and is certified enters the corpus, family ``rl``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from miner.campaigns.campaign import Campaign
from miner.config.campaign import AttackSection, CampaignConfig, MineSection, PolicySection
from miner.errors import ConfigError
from miner.progress import Observer
from miner.searching.mining import MiningReport
from miner.searching.shards import WHOLE, Shard

ATTACK = "rl"


def mine_checkpoints(
    config: CampaignConfig,
    policies: Mapping[int, Path],
    *,
    n: int,
    prompts: int,
    max_new_tokens: int,
    round_number: int = 0,
    observer: Observer | None = None,
    shard: Shard = WHOLE,
) -> MiningReport:
    """Best of ``n`` of every checkpoint (by step: ``RlRun.policies``) on train prompts, into the campaign's corpus;
    what is stored is not made again. Processes with a ``shard`` share the attempts.

    Raises:
        ConfigError: there are no checkpoints.
    """
    if not policies:
        raise ConfigError("the run has no checkpoints left to mine with. Run it again: rmminer overopt")
    reports = []
    for step, folder in policies.items():
        section = AttackSection(name=ATTACK, params={"n": n, "step": step}, budget_queries=n)
        attacker = config.model_copy(
            update={
                "policy": PolicySection(source=str(folder), max_new_tokens=max_new_tokens),
                "attacks": (section,),
                "mine": MineSection(prompts=prompts, budget_queries=n),
            }
        )
        reports.append(Campaign(attacker, observer, resumes_with=config, shard=shard).mine(round_number))
    return MiningReport.total(reports)
