"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Folder with golden values of the published network; set MCORE_REFERENCE to point elsewhere."""
    folder = Path(os.environ.get("MCORE_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))
    if not (folder / "golden.py").is_file():
        pytest.skip(f"no golden values of the published network at {folder} (set MCORE_REFERENCE)")
    return folder
