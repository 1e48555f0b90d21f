"""The doctor: can this reward model's scores be trusted, before anyone mines against them?"""

from miner.measuring.doctor.diagnosis import Diagnosis, Report
from miner.measuring.doctor.examine import examine

__all__ = ["Diagnosis", "Report", "examine"]
