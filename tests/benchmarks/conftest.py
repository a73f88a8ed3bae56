"""The exported tiny bundle of the export tests, and its checkpoint."""

from __future__ import annotations

from tests.export.conftest import _graphs_are_traced_once, bundle, checkpoint, dives

__all__ = ["_graphs_are_traced_once", "bundle", "checkpoint", "dives"]
