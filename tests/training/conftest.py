"""Trainings without the picture of their losses, which takes longer to draw than they take."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, but in runs that a whole module shares: one of them has its picture looked at."""
    monkeypatch.setattr("mcore.training.run.loss_curves", lambda *_: None)
