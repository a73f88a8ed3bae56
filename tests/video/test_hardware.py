"""Decoding by hardware: what is asked for, what there is, and that its planes become the same pictures.

No device is at hand: what one would give is made of software's frames by their own bytes, in the order of NV12.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.video import hardware
from mcore.video.hardware import DecoderChoice, find_device, is_from_hardware
from mcore.video.picture import to_rgb
from mcore.video.pyav_reader import decode
from tests.numbered_video import write_numbered

_MAX_DIFFERENCE = 0 if find_spec("mcore.video.yuv") else 8
"""Grey levels: none by the conversion in whole numbers; swscale treats the two orders of chroma in two ways."""


def downloaded(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame as a device gives it: luma, and both chroma planes in one."""
    height, width = frame.height, frame.width
    planar = frame.to_ndarray()  # (H*3/2, W) of yuv420p
    chroma = planar[height:].reshape(2, -1)
    packed = np.concatenate([planar[:height], chroma.T.reshape(height // 2, width)])
    made = av.VideoFrame.from_ndarray(np.ascontiguousarray(packed), format="nv12")
    made.pts, made.time_base = frame.pts, frame.time_base
    made.colorspace, made.color_range = frame.colorspace, frame.color_range
    return made


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with NVIDIA's decoder, as far as anybody asks."""
    monkeypatch.setattr(hardware, "find_device", lambda asked: ("cuda", ""))


def test_frames_of_a_device_become_the_pictures_of_software(tmp_path: Path) -> None:
    frames = list(decode(write_numbered(tmp_path / "v.mp4", 12)))
    for frame in frames:
        assert not is_from_hardware(frame)
        assert is_from_hardware(downloaded(frame))
        difference = np.abs(to_rgb(downloaded(frame)).astype(int) - to_rgb(frame))
        assert difference.max() <= _MAX_DIFFERENCE


def test_software_asks_for_no_device() -> None:
    choice = DecoderChoice("software")
    assert (choice.device, choice.note, choice.reader) == (None, None, "pyav")


def test_hardware_that_is_not_there_is_said_and_a_device_that_is_not_there_is_an_error() -> None:
    find_device.cache_clear()
    device, reason = find_device(None)
    if device is not None:
        pytest.skip(f"this machine decodes by {device}")
    assert all(name in reason for name in ("cuda: ", "vaapi: "))
    choice = DecoderChoice("hardware")
    assert (choice.device, choice.reader) == (None, "pyav")
    assert "there is no hardware decoder (cuda: " in str(choice.note)
    with pytest.raises(
        UserError, match=r"decoder vaapi cannot be used \(vaapi: .*decoder=hardware takes the processor"
    ):
        DecoderChoice("vaapi")


@pytest.mark.usefixtures("device")
def test_the_decoder_really_used_is_known_by_its_frames(tmp_path: Path) -> None:
    frame = next(decode(write_numbered(tmp_path / "v.mp4", 3)))
    choice = DecoderChoice("hardware")
    choice.check_frame(downloaded(frame), "h264")
    assert (choice.used, choice.reader, choice.note) == ("cuda", "pyav (cuda)", None)
    choice.check_frame(frame, "h264")
    assert (choice.used, choice.reader) == ("software", "pyav")
    assert choice.note == "decoded by software: cuda does not take this h264 video (yuv420p)"
    with pytest.raises(UserError, match="does not take this h264 video"):
        DecoderChoice("cuda").check_frame(frame, "h264")
