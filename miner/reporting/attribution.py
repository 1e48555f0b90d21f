"""Findings of a run attributed to their tokens, each with the RM that it fooled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.records import Finding
from miner.errors import CapabilityError, RmMinerError, TooLongError
from miner.rewards.base import Pair, RewardModel, TokenAttribution

if TYPE_CHECKING:
    from miner.reporting.reading import Run

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """How much to attribute, and with which RMs.

    ``load`` is given the RM of a round: the folder that the summary names, or its name as it is where no such folder
    exists. One RM is held at a time. ``max_findings`` and ``time_limit_s`` bound the work, whichever comes first.
    """

    load: Callable[[str], RewardModel] | None = None
    n_steps: int = 16
    max_findings: int = 16
    time_limit_s: float = 120.0

    def loaded(self, source: str) -> RewardModel:
        if self.load is not None:
            return self.load(source)
        from miner.rewards.loading.classifiers import load_reward_model

        return load_reward_model(source)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionResults:
    """Attributions by finding id, and what could not be attributed, in words."""

    by_finding: dict[str, TokenAttribution]
    notes: list[str]


def attribute_findings(
    run: Run, shown: Sequence[Finding], settings: Attribution, progress: Progress | None = None
) -> AttributionResults:
    """Attributes the first ``max_findings`` of ``shown``, each with the RM it fooled."""
    chosen = shown[: settings.max_findings]
    by_finding: dict[str, TokenAttribution] = {}
    notes: list[str] = []
    deadline = time.monotonic() + settings.time_limit_s
    for done, (finding, model) in enumerate(_with_models(run, chosen, settings, notes), start=1):
        if time.monotonic() > deadline:
            notes.append(
                f"Attribution stopped after its {settings.time_limit_s:.0f} s: {len(by_finding)} of {len(chosen)}."
            )
            break
        try:
            result = model.attribution(Pair(finding.prompt, finding.response), settings.n_steps)
        except TooLongError:
            result = None  # the row then shows plain text, like any the RM does not read in full
        if result is not None:
            by_finding[finding.finding_id] = result
        if progress is not None:
            progress(done, len(chosen))
    return AttributionResults(by_finding=by_finding, notes=notes)


def _with_models(
    run: Run, chosen: Sequence[Finding], settings: Attribution, notes: list[str]
) -> Iterator[tuple[Finding, RewardModel]]:
    """Each finding with its round's RM, round by round; a round whose RM is not the recorded one goes to ``notes``."""
    for number in sorted({finding.round for finding in chosen}):
        mine = [finding for finding in chosen if finding.round == number]
        try:
            model = settings.loaded(run.model_source(number))
            if not model.has_gradients:
                raise CapabilityError(f"{model.name} gives no gradients")
        except RmMinerError as error:
            notes.append(f"No attribution for round {number}: {error}.")
            continue
        same = [finding for finding in mine if finding.rm_fingerprint == model.fingerprint]
        if len(same) < len(mine):
            notes.append(
                f"No attribution for {len(mine) - len(same)} findings of round {number}: they fooled another RM than "
                f"the one at {run.model_source(number)} (fingerprint {model.fingerprint[:12]})."
            )
        yield from ((finding, model) for finding in same)
