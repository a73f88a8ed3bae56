"""Hardware decoders of sources: asked for by an option, said where there is none, and equal in their pictures.

No device is at hand. PyAV's is played by software's frames in NV12, and a Jetson's by another decoder of GStreamer in
its place in the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.video import hardware, pyav_reader
from mcore.video.hardware import find_device
from mcore_runtime.live.terminal import source_line
from mcore_runtime.sources import Frame, SourceError, SourceState, SourceStatus, nvv4l2, open_source, parse_source
from mcore_runtime.sources import file as file_source
from mcore_runtime.sources.gstreamer_library import load_gstreamer
from tests.numbered_video import write_numbered
from tests.runtime.sources.file_server import FileServer
from tests.runtime.sources.reading import numbers_of, take
from tests.runtime.sources.rtsp import rtsp_server
from tests.video.test_hardware import _MAX_DIFFERENCE, downloaded

BASELINE = "bframes=0:cabac=0:8x8dct=0:keyint=24:weightp=0"
"""What every decoder takes."""


def read(address: str) -> tuple[list[Frame], SourceStatus]:
    with open_source(address, first_delay_s=0.05) as source:
        frames = list(source)
        return frames, source.status()


def assert_equal_pictures(frames: list[Frame], expected: list[Frame]) -> None:
    assert len(frames) == len(expected)
    for frame, other in zip(frames, expected, strict=True):
        assert np.abs(frame.rgb.astype(int) - other.rgb).max() <= _MAX_DIFFERENCE


@pytest.fixture
def no_device() -> None:
    find_device.cache_clear()
    if find_device(None)[0] is not None:
        pytest.skip("this machine has a hardware decoder")


@pytest.mark.usefixtures("no_device")
def test_without_hardware_software_decodes_and_says_so(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 20)
    expected, plain = read(str(path))
    assert (plain.reader, plain.decoder_note) == ("pyav", None)
    frames, status = read(f"file:{path}?decoder=hardware")
    assert_equal_pictures(frames, expected)
    assert status.reader == "pyav"
    assert "decoded by software: there is no hardware decoder (cuda: " in str(status.decoder_note)
    with FileServer(tmp_path) as server:
        _, served = read(f"{server.url}/v.mp4#decoder=hardware")
    assert served.decoder_note == status.decoder_note


@pytest.mark.usefixtures("no_device")
def test_a_device_that_was_named_must_be_there(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 5)
    with pytest.raises(UserError, match=r"the decoder cuda cannot be used \(cuda: "):
        read(f"file:{path}?decoder=cuda")
    with pytest.raises(SourceError, match="the option decoder is 'gpu'; allowed: software, hardware, cuda"):
        parse_source(f"file:{path}?decoder=gpu")
    with pytest.raises(SourceError, match="has no option 'decoder'"):
        parse_source("camera://0?decoder=cuda")


def test_the_device_that_decodes_is_recorded_and_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_numbered(tmp_path / "v.mp4", 20)
    expected, _ = read(str(path))

    def decode(path: Path, **options: Any) -> Iterator[av.VideoFrame]:
        yield from map(downloaded, pyav_reader.decode(path, **options | {"hwaccel": None}))

    monkeypatch.setattr(hardware, "find_device", lambda asked: ("cuda", ""))
    monkeypatch.setattr(file_source, "decode", decode)
    with open_source(f"file:{path}?decoder=cuda") as source:
        first = source.read(10.0)
        assert source_line(source.status()).endswith("streaming 96x64, read by pyav (cuda)")
        frames = [frame for frame in (first, *source) if frame is not None]
    assert_equal_pictures(frames, expected)
    assert source.status().reader == "pyav (cuda)"


@pytest.fixture
def other_decoder(monkeypatch: pytest.MonkeyPatch, gstreamer: None) -> None:
    if load_gstreamer().ElementFactory.find("openh264dec") is None:
        pytest.skip("no GStreamer element openh264dec (gstreamer1.0-plugins-bad)")
    monkeypatch.setattr(nvv4l2, "_DECODE", "openh264dec ! videoconvert")


@pytest.mark.usefixtures("other_decoder")
@pytest.mark.parametrize("decoder", ["nvv4l2", "hardware"])
@pytest.mark.parametrize(("name", "audio_s"), [("v.mp4", 0.0), ("with sound.mp4", 1.0), ("v.mkv", 0.0)])
def test_a_jetsons_pipeline_reads_a_file_once_whole_and_alike(
    tmp_path: Path, name: str, audio_s: float, decoder: str
) -> None:
    path = write_numbered(tmp_path / name, 45, params=BASELINE, audio_s=audio_s)
    expected, _ = read(str(path))
    frames, status = read(f"file:{path}?decoder={decoder}")
    assert numbers_of(frames) == list(range(45))
    assert_equal_pictures(frames, expected)
    np.testing.assert_allclose(
        [frame.time_s for frame in frames], [frame.time_s for frame in expected], atol=1e-3
    )  # GStreamer counts nanoseconds
    assert (status.state, status.reader) == (SourceState.ENDED, "gstreamer (openh264dec)")
    assert (status.is_live, status.connections, status.dropped) == (False, 1, 0)


@pytest.mark.usefixtures("other_decoder")
def test_a_jetsons_pipeline_reads_rtsp(tmp_path: Path, port: int) -> None:
    path = write_numbered(tmp_path / "v.mp4", 60, params=BASELINE)
    expected, _ = read(str(path))
    address = f"rtsp://coach:hush@127.0.0.1:{port}/test#decoder=nvv4l2"
    with rtsp_server(port, 0, 0, path), open_source(address) as source:
        first = take(source, 1)
        status = source.status()
    assert_equal_pictures(first, [expected[number] for number in numbers_of(first)])
    assert (status.reader, status.is_live) == ("gstreamer (openh264dec)", True)
    assert "hush" not in str(status)


@pytest.mark.usefixtures("gstreamer")
def test_without_a_jetson_its_decoder_is_an_error(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 5)
    with pytest.raises(SourceError, match="no element 'nvv4l2decoder'"):
        read(f"file:{path}?decoder=nvv4l2")
    with pytest.raises(SourceError, match="takes files and rtsp"):
        read("http://127.0.0.1:1/v.mp4#decoder=nvv4l2")


@pytest.mark.parametrize(("width", "height"), [(96, 64), (50, 34), (51, 33)])
def test_planes_of_any_size_and_tags_are_read(width: int, height: int) -> None:
    pitch, rows = (width + 3) // 4 * 4, (height + 1) // 2 * 2
    luma = np.full((rows, pitch), 145, np.uint8)
    chroma = np.tile(np.array([54, 34], np.uint8), (rows // 2, pitch // 2))  # green of BT.601
    data = np.concatenate([luma, chroma]).reshape(-1)
    for colorimetry, green in ((None, True), ("bt601", True), ("2:4:5:4", True), ("bt709", False), ("odd", True)):
        rgb = nvv4l2.picture_of(data, width, height, colorimetry)
        assert rgb.shape == (height, width, 3)
        assert (int(np.abs(rgb.astype(int) - [0, 255, 0]).max()) <= 3) is green
    with pytest.raises(Exception, match="whose layout is not known"):
        nvv4l2.picture_of(data[:-1], width, height, None)


@pytest.mark.usefixtures("gstreamer")
def test_a_pipeline_of_a_file_has_an_end(tmp_path: Path) -> None:
    frames, status = read("gst://videotestsrc num-buffers=30 ! video/x-raw,width=64,height=48,framerate=25/1")
    assert len(frames) == 30
    assert (status.state, status.connections, status.is_live) == (SourceState.ENDED, 1, False)
