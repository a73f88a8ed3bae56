"""The exported tiny bundle of the export tests, and its checkpoint."""

from __future__ import annotations

from tests.export.conftest import bundle, checkpoint, dives

__all__ = ["bundle", "checkpoint", "dives"]
