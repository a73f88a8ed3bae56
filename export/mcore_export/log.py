"""The lines that a command writes while it works."""

from __future__ import annotations

from collections.abc import Callable

Log = Callable[[str], None]
"""Gets one line for each artefact and each comparison: ``print``, or a test's list."""
