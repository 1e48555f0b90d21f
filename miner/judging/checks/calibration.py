"""Thresholds from one set of clean text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from corpus.records import conversation_id, digest
from miner.errors import ConfigError
from miner.judging.checks.base import Check, Subject
from miner.judging.checks.verdict import DEFAULT_QUORUM, CalibratedCheck, Certifier

DEFAULT_TARGET = 0.005  # half of what the verdict may reach on text that set no threshold
MIN_EVIDENCE = 20


def calibrate(
    checks: Sequence[Check],
    clean: Sequence[Subject],
    *,
    target: float = DEFAULT_TARGET,
    quorum: int = DEFAULT_QUORUM,
) -> Certifier:
    """The certifier whose checks each convict a share of at most ``target`` of such text as ``clean``, in expectation.

    With fewer than 1 / ``target`` clean texts on which a check does not abstain, no threshold can promise that: it is
    then the largest clean value, and the check's ``target`` says what that promises.

    Raises:
        ConfigError: a check has evidence on too few clean texts, or the quorum cannot be met.
    """
    clean_id = identity_of(clean)
    return Certifier(checks=tuple(_calibrate(check, clean, target, clean_id) for check in checks), quorum=quorum)


def identity_of(clean: Sequence[Subject]) -> str:
    """Digest of the texts that set thresholds."""
    return digest([[conversation_id(s.prompt), s.response, s.reference, s.sampled_by] for s in clean])


def _calibrate(check: Check, clean: Sequence[Subject], target: float, clean_id: str) -> CalibratedCheck:
    if check.fixed_threshold is not None:
        identity = digest([check.identity, check.fixed_threshold])
        return CalibratedCheck(check=check, threshold=check.fixed_threshold, target=None, calibration_id=identity)
    values, spread = check.calibration_values(clean)
    known = np.sort(values[~np.isnan(values)])
    if len(known) < MIN_EVIDENCE:
        raise ConfigError(_too_little_evidence(check, len(known), len(clean)))
    # A new clean value falls between any two of the n sorted ones alike: above the k-th largest with k / (n + 1).
    rank = max(1, math.floor(target * (len(known) + 1)))
    return CalibratedCheck(
        check=check,
        threshold=max(float(known[-rank]), check.min_threshold),
        target=max(target, 1 / (len(known) + 1)),
        calibration_id=digest([check.identity, clean_id, target]),
        spread=spread,
    )


def _too_little_evidence(check: Check, known: int, n: int) -> str:
    reads = f" (it reads only {check.reads})" if check.reads else ""
    if known or not n:
        enough = math.ceil(MIN_EVIDENCE * n / known) if known else MIN_EVIDENCE
        way_out = (
            f"About {enough} such texts would do: a larger calibration share, --set data.fractions=…, or more data"
        )
    else:
        way_out = "More text of this kind would not help"
    return (
        f"check {check.name!r} has evidence on {known} of {n} clean texts{reads}; a threshold needs {MIN_EVIDENCE}. "
        f"{way_out}"
    )
