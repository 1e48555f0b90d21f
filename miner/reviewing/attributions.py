"""What each token of a finding adds to its reward: measured when somebody asks, and kept in the run's folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from corpus.records import Finding, digest
from miner.errors import CapabilityError, ConfigError, RmMinerError
from miner.files import read_stored, replace_text
from miner.rewards.base import Pair, RewardModel, TokenAttribution

FOLDER = "attributions"
N_STEPS = 16

OpenRm = Callable[[int], RewardModel]
"""The RM of a round of the run."""


def no_rm(_round: int) -> RewardModel:
    """Where nothing but a corpus is there."""
    raise ConfigError("no campaign file beside this corpus, so that its RM is not known. Review the run's own folder")


class Attributions:
    """Of the findings of the run in ``folder``. The RM is opened with the first one that is asked for."""

    def __init__(self, folder: Path, open_rm: OpenRm) -> None:
        self._folder, self._open_rm = folder / FOLDER, open_rm
        self._lock = threading.Lock()

    def stored(self, finding: Finding) -> TokenAttribution | None:
        """None where nobody has asked.

        Raises:
            DataError: it cannot be read.
        """
        return read_stored(self._path(finding), TokenAttribution, "an attribution")

    def make(self, finding: Finding) -> TokenAttribution:
        """As ``stored``, measured where it is not.

        Raises:
            RmMinerError: the RM cannot be opened, is not the one that was fooled, or gives no gradients of this text.
        """
        with self._lock:
            found = self.stored(finding)
            if found is None:
                found = self._measured(finding)
                replace_text(self._path(finding), json.dumps(asdict(found)) + "\n")
            return found

    def _measured(self, finding: Finding) -> TokenAttribution:
        try:
            rm = self._open_rm(finding.round)
        except (RmMinerError, OSError) as error:
            raise ConfigError(f"the RM of round {finding.round} cannot be opened: {error}") from error
        if rm.fingerprint != finding.rm_fingerprint:
            raise ConfigError(
                f"this finding fooled the RM {finding.rm_fingerprint[:12]}; that of round {finding.round} is now "
                f"{rm.fingerprint[:12]}"
            )
        if not rm.has_gradients:
            raise CapabilityError(f"{rm.name} gives no gradients, so that no token's share in the reward is known")
        found = rm.attribution(Pair(finding.prompt, finding.response), N_STEPS)
        if found is None:
            raise CapabilityError(f"{rm.name} does not read this text in full, or tells no two tokens of it apart")
        return found

    def _path(self, finding: Finding) -> Path:
        name = digest([finding.finding_id, finding.rm_fingerprint, N_STEPS])
        return self._folder / f"{name}.json"
