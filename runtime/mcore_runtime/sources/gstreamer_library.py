"""GStreamer itself, imported where it is needed."""

from __future__ import annotations

import ctypes
import importlib
from contextlib import suppress
from typing import Any

from mcore.common.errors import MissingDependencyError


def load_gstreamer() -> Any:
    """Import and initialise GStreamer.

    Raises:
        MissingDependencyError: it is not installed, or not visible from this environment.
    """
    _load_unwinder()
    try:
        importlib.import_module("gi").require_version("Gst", "1.0")
        gst = importlib.import_module("gi.repository.Gst")
    except (ImportError, ValueError) as error:
        raise MissingDependencyError(
            f"csi:// and gst:// sources need GStreamer's Python bindings ({error}). Install the system's packages "
            "python3-gi, gir1.2-gstreamer-1.0 and gstreamer1.0-plugins-good, in an environment made with "
            "--system-site-packages"
        ) from error
    gst.init(None)
    return gst


def _load_unwinder() -> None:
    """Let C++ libraries that are loaded later find their unwinder where they were built to find it.

    GStreamer brings libunwind along (Debian and Ubuntu build it so) and makes its symbols global. It has functions of
    the same names as libgcc's, but of another layout within: the first exception of OpenVINO ended the process. What
    is loaded first is found first.
    """
    with suppress(OSError):  # not Linux, or built without libgcc
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
