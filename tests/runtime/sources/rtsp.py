"""Start of the RTSP server, by whichever Python can run it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

_PROBE = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer, Gst"
    "; Gst.init(None); assert Gst.ElementFactory.find('x264enc')"
)


@cache
def python_with_rtsp() -> str | None:
    """A Python that can run the RTSP server: this one, or the system's."""
    for candidate in (sys.executable, shutil.which("python3", path="/usr/bin")):
        if candidate and subprocess.run([candidate, "-c", _PROBE], capture_output=True).returncode == 0:
            return candidate
    return None


@contextmanager
def rtsp_server(port: int, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A running server; killed at the end."""
    python = python_with_rtsp()
    if python is None:
        pytest.skip("no GStreamer RTSP server here (gir1.2-gst-rtsp-server-1.0, python3-gi, gstreamer1.0-plugins-ugly)")
    script = Path(__file__).with_name("rtsp_server.py")
    process = subprocess.Popen([python, str(script), *map(str, (port, *arguments))], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
