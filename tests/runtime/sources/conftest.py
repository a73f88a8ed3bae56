"""GStreamer for tests, where the system has it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

import pytest

from mcore.common.errors import MissingDependencyError
from mcore_runtime.sources.gstreamer_library import load_gstreamer


@pytest.fixture(scope="package", autouse=True)
def bindings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lend a virtual environment the system's GStreamer bindings, and nothing else of the system's packages."""
    system = Path("/usr/lib/python3/dist-packages/gi")
    fits = any((system / f"_gi{suffix}").is_file() for suffix in EXTENSION_SUFFIXES)
    with pytest.MonkeyPatch.context() as patch:
        # On the path, not only imported: a worker comes back to this package, and tests start processes of their own.
        if PathFinder.find_spec("gi") is None and fits:
            folder = tmp_path_factory.mktemp("system")
            (folder / "gi").symlink_to(system)
            patch.syspath_prepend(str(folder))
        yield


@pytest.fixture
def gstreamer() -> None:
    try:
        load_gstreamer()
    except MissingDependencyError as error:
        pytest.skip(str(error))
