"""The demo's campaign: small enough for a laptop, large enough that its rates mean something."""

from __future__ import annotations

from miner.config.campaign import AttackSection, CampaignConfig, DataSection, EvaluateSection, MineSection, PatchSection

QUICK_BUDGET = 384
BUDGET = 512


def demo_config(*, out: str, seed: int, quick: bool) -> CampaignConfig:
    """One patch, which sees neither structural attacks nor best-of-n: their rows show what it generalises to."""
    budget = QUICK_BUDGET if quick else BUDGET
    return CampaignConfig(
        out=out,
        seed=seed,
        rounds=1,
        data=DataSection(world="docs", quick=quick),
        attacks=(
            AttackSection(name="gcg"),
            AttackSection(name="random"),
            AttackSection(name="corrupt"),
            AttackSection(name="best_of_n", params={"n": 64}, budget_queries=64),
        ),
        mine=MineSection(prompts=12 if quick else 64, budget_queries=budget, attacks=("gcg",)),
        evaluate=EvaluateSection(prompts=8 if quick else 16, budget_queries=budget, rejected_per_prompt=2),
        patch=PatchSection(steps=30 if quick else 120, held_out_families=("structural", "policy")),
    )
