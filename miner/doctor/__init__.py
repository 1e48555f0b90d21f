"""The doctor: can this reward model's scores be trusted, before anyone mines against them?"""

from miner.doctor.diagnosis import Diagnosis, Report
from miner.doctor.examine import examine

__all__ = ["Diagnosis", "Report", "examine"]
