"""What to triage, and how much that may cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corpus.records import Finding, Split, digest
from miner.errors import ConfigError
from miner.measuring.triage.shrinking import max_shrinking_queries


@dataclass(frozen=True, slots=True, kw_only=True)
class TriageSettings:
    """``rounds`` and ``split`` None are all of them, ``limit`` 0 every finding.

    ``max_queries`` caps each of a finding's two searches: for its minimal text and for what is behind it. The
    ``reach_groups`` largest groups have their representative tried on ``reach_prompts`` other prompts.
    """

    rounds: tuple[int, ...] | None = None
    split: Split | None = None
    limit: int = 0
    max_queries: int = 600
    bisect: bool = True
    attribution: bool = True
    distance: bool = True
    reach_groups: int = 12
    reach_prompts: int = 48

    def __post_init__(self) -> None:
        if self.max_queries < 1 or self.limit < 0:
            raise ConfigError(
                f"a cap of {self.max_queries} queries and a limit of {self.limit} findings cannot be kept; "
                "expected at least 1 query and 0 (all) or more findings"
            )

    def choose(self, findings: Sequence[Finding]) -> list[Finding]:
        """The findings to triage, by id; with a limit those that their ids draw, so that no reward chose them.

        Raises:
            ConfigError: there are none.
        """
        mine = [
            finding
            for finding in findings
            if (self.rounds is None or finding.round in self.rounds) and self.split in (None, finding.split)
        ]
        if not mine:
            there = sorted({(finding.round, finding.split) for finding in findings})
            have = ", ".join(f"round {number} {split}" for number, split in there)
            raise ConfigError(
                f"no findings to triage. The run has some of {have}: leave --round and --split out"
                if there
                else "this run has no findings to triage. Mine first: rmminer mine --out RUN"
            )
        drawn = sorted(mine, key=lambda finding: digest(["triage", finding.finding_id]))
        return sorted(drawn[: self.limit or None], key=lambda finding: finding.finding_id)

    def max_queries_of(self, findings: Sequence[Finding], n_rounds: int) -> dict[str, int]:
        """What triaging these findings takes at most, by what it is spent on."""
        n = len(findings)
        return {
            "shrinking": sum(max_shrinking_queries(finding.response, self.max_queries) for finding in findings),
            "bisect": 2 * n * n_rounds if self.bisect else 0,
            "reach": min(n, self.reach_groups) * 2 * self.reach_prompts,
        }
