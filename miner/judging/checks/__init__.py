"""Tests for nonsense, their calibration, and the verdict they add up to. Importing this does not import torch."""

from miner.judging.checks.base import Check, Materials, Subject
from miner.judging.checks.calibration import calibrate
from miner.judging.checks.measurement import ErrorRates, measure
from miner.judging.checks.plants import plant
from miner.judging.checks.registry import CHECKS, build_checks, known_checks, require_known
from miner.judging.checks.verdict import DEFAULT_QUORUM, AnyCertifier, CalibratedCheck, Certificate, Certifier

__all__ = [
    "CHECKS",
    "DEFAULT_QUORUM",
    "AnyCertifier",
    "CalibratedCheck",
    "Certificate",
    "Certifier",
    "Check",
    "ErrorRates",
    "Materials",
    "Subject",
    "build_checks",
    "calibrate",
    "known_checks",
    "measure",
    "plant",
    "require_known",
]
