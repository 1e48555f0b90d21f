from __future__ import annotations

import pytest


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take most of a report's time and have tests of their own."""
    for name in ("FIGURES", "STUDY_FIGURES", "DIVERSITY_FIGURES", "GAP_FIGURES"):
        monkeypatch.setattr(f"miner.reporting.writing.{name}", {})
