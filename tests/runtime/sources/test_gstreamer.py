"""RTSP from a real server, and GStreamer pipelines; both where the system has GStreamer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mcore.common.errors import MissingDependencyError
from mcore_runtime.sources import SourceError, SourceState, open_source, parse_source
from mcore_runtime.sources.gstreamer import csi_pipeline
from tests.numbered_video import write_numbered
from tests.runtime.sources.reading import numbers_of, take, wait_for
from tests.runtime.sources.rtsp import rtsp_server


@pytest.fixture
def rtsp(port: int) -> Iterator[subprocess.Popen[str]]:
    with rtsp_server(port) as process:
        yield process


def test_rtsp_is_read_frozen_killed_and_found_again_at_another_size(rtsp: subprocess.Popen[str], port: int) -> None:
    with open_source(f"rtsp://coach:hush@127.0.0.1:{port}/test#timeout=1", first_delay_s=0.1) as source:
        frames = take(source, 30)
        assert frames[0].rgb.shape == (96, 160, 3)
        spacing = np.diff([frame.time_s for frame in frames])
        assert np.median(spacing) == pytest.approx(0.04, abs=2e-3)
        os.kill(rtsp.pid, signal.SIGSTOP)
        wait_for(source, SourceState.RETRYING)
        assert "hush" not in str(source.status())
        while source.read(0) is not None:
            pass  # what came before it was stopped
        rtsp.kill()
        rtsp.wait()
        time.sleep(0.2)
        with rtsp_server(port, 192, 128):
            wait_for(source, SourceState.STREAMING)
            frames = take(source, 3)
            assert any("connection was lost" in (frame.gap or "") for frame in frames)
            assert frames[-1].rgb.shape == (128, 192, 3)  # another camera in its place
            assert source.status().connections >= 2


def test_a_recording_over_rtsp_has_an_end(tmp_path: Path, port: int) -> None:
    path = write_numbered(tmp_path / "v.mp4", 45)
    address = f"rtsp://coach:hush@127.0.0.1:{port}/test"
    with rtsp_server(port, 0, 0, path), open_source(address, first_delay_s=0.1) as source:
        frames = list(source)
        status = source.status()
    assert numbers_of(frames) == list(range(45))
    assert (status.state, status.connections, status.is_live) == (SourceState.ENDED, 1, False)


def test_rtsp_with_a_wrong_password_fails_at_once(rtsp: subprocess.Popen[str], port: int) -> None:
    wrong = open_source(f"rtsp://coach:wr0ng@127.0.0.1:{port}/test")
    with wrong as source, pytest.raises(SourceError, match="user name or password") as caught:
        source.read(10.0)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.usefixtures("gstreamer")
def test_any_pipeline_is_a_source() -> None:
    # 50 columns of RGB are 150 bytes, which GStreamer pads to 152.
    pipeline = "gst://videotestsrc is-live=true pattern=red ! video/x-raw,width=50,height=34,framerate=25/1"
    with open_source(pipeline) as source:
        frames = take(source, 10)
    assert source.status().reader == "gstreamer"
    assert frames[0].rgb.shape == (34, 50, 3)
    assert (np.abs(frames[-1].rgb.astype(int) - [255, 0, 0]) < 6).all()
    np.testing.assert_allclose(np.diff([frame.time_s for frame in frames]), 0.04, atol=2e-3)


@pytest.mark.usefixtures("gstreamer")
def test_a_live_pipeline_that_ends_is_started_again() -> None:
    with open_source("gst://videotestsrc is-live=true num-buffers=3", first_delay_s=0.05) as source:
        frames = take(source, 7)
    assert sum("connection was lost" in (frame.gap or "") for frame in frames) >= 1


@pytest.mark.usefixtures("gstreamer")
@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("gst://nosuchsrc password=hush ! decodebin", "nosuchsrc"),
        ("gst://videotestsrc hush=hush", "no such|property"),
        ("gst://videotestsrc ! audioconvert", "could not|link|kind|cannot"),
    ],
)
def test_a_pipeline_that_cannot_be_built_says_why_without_quoting_it(pipeline: str, words: str) -> None:
    with open_source(pipeline) as source, pytest.raises(SourceError, match=words) as caught:
        source.read(10.0)
    assert "hush" not in str(caught.value)


@pytest.mark.usefixtures("gstreamer")
def test_errors_of_a_running_pipeline_do_not_quote_it() -> None:
    with open_source("gst://rtspsrc location=rtsp://u:hush@127.0.0.1:1/x ! decodebin", first_delay_s=0.05) as source:
        wait_for(source, SourceState.RETRYING)
        status = source.status()
    assert "rtspsrc" in str(status.error)
    assert "hush" not in str(status)


def test_without_gstreamer_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    with open_source("csi://0") as source, pytest.raises(MissingDependencyError, match="python3-gi"):
        source.read(10.0)


def test_the_pipeline_of_a_jetson_camera() -> None:
    """Only its text can be checked here: the element exists on Jetsons alone."""
    text = csi_pipeline(parse_source("csi://1?size=1280x720&rate=59.94"))
    assert "nvarguscamerasrc sensor-id=1 !" in text
    assert "width=1280,height=720,framerate=60000/1001,format=NV12" in text
    assert "framerate=30/1" in csi_pipeline(parse_source("csi://0"))


_BESIDE_OPENVINO = """
from mcore_runtime.sources.gstreamer_library import load_gstreamer
load_gstreamer()
import numpy as np
import openvino
from openvino import opset13 as ops
given = ops.parameter([1, 8, 8, 8], np.float32)
convolved = ops.convolution(given, np.ones((8, 8, 3, 3), np.float32), [1, 1], [1, 1], [1, 1], [1, 1])
model = openvino.Model([convolved], [given])
openvino.Core().compile_model(model, "CPU")  # whose own exceptions are thrown and caught within
"""


@pytest.mark.usefixtures("gstreamer")
def test_openvino_works_in_a_process_that_has_gstreamer() -> None:
    pytest.importorskip("openvino")
    process = subprocess.run(
        [sys.executable, "-c", _BESIDE_OPENVINO],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
    )
    assert process.returncode == 0, process.stderr.decode()
