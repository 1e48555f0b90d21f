"""A campaign as Python programs use it: rounds of mine, patch and evaluate in one folder."""

from __future__ import annotations

from collections.abc import Collection

from miner.campaigns.opening import OpenCampaign
from miner.campaigns.stages import evaluate_round, mine_round, patch_round, run_cycle
from miner.patching.report import PatchReport
from miner.searching.mining import MiningReport


class Campaign(OpenCampaign):
    """An opened campaign with its stages as verbs; running one again goes on where it stopped.

    Errors of opening as ``OpenCampaign``.
    """

    def mine(self, round_number: int) -> MiningReport:
        """See ``mine_round``."""
        return mine_round(self, round_number)

    def patch(self, round_number: int) -> PatchReport:
        """See ``patch_round``."""
        return patch_round(self, round_number)

    def evaluate(self, round_number: int, *, without: Collection[str] = ()) -> MiningReport:
        """See ``evaluate_round``."""
        return evaluate_round(self, round_number, without=without)

    def cycle(self) -> list[MiningReport]:
        """See ``run_cycle``."""
        return run_cycle(self)
