"""A session as a run leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.session.made import make_session


@pytest.fixture
def session(tmp_path: Path, tiny_bundle: Path) -> Path:
    return make_session(tmp_path / "session", tiny_bundle)
