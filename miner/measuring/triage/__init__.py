"""What a campaign's findings are made of: shrunk, grouped by cause, placed against clean text, followed through rounds.

``rmminer triage`` reads a run's folder and adds ``triage/`` to it; no published row is changed.
"""

from miner.measuring.triage.result import TriageResult

__all__ = ["TriageResult"]
