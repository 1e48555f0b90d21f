from __future__ import annotations

import pytest


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take most of a report's time and have tests of their own."""
    monkeypatch.setattr("miner.reporting.sections.draw_plots", lambda _shown, _figures: {})
