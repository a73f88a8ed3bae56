"""Decoding by hardware, through PyAV: which device there is, and whether a frame really came from one.

Today's codecs define every pixel of a decoded picture, so hardware and software give the same planes, and are treated
alike. Only formats of the planes differ (NV12 for YUV 4:2:0 of 8 bits), and show which one decoded a frame.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import av
from av.codec.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available

from mcore.common.errors import UserError
from mcore.video.container import describe_av_error

Device = Literal["cuda", "vaapi"]
"""FFmpeg's names of NVIDIA's decoder (NVDEC) and of Linux's interface to Intel's and AMD's. What others FFmpeg was
built with (QSV, AMF) are decoders of their own there, which ``HWAccel`` does not reach."""
_HARDWARE_FORMATS = ("nv", "p0", "p2", "p4")
"""Beginnings of the names of formats that hardware gives, such as nv12 and p010le; software decoders give others."""


@lru_cache
def find_device(asked: Device | None) -> tuple[Device | None, str]:
    """Find a device that decodes.

    Args:
        asked: this one only; None: the first that works.

    Returns:
        The device and nothing; or None and why there is none, of each that was tried.
    """
    reasons = []
    for device in get_args(Device) if asked is None else (asked,):
        if device not in hwdevices_available():
            reasons.append(f"{device}: PyAV's FFmpeg was built without it")
            continue
        try:
            HWAccel(device).create(Codec("h264", "r"))
        except NotImplementedError:
            reasons.append(f"{device}: PyAV's FFmpeg decodes no H.264 by it")
            continue
        except av.FFmpegError as error:
            reasons.append(f"{device}: no device, or no driver ({describe_av_error(error)})")
            continue
        return device, ""
    return None, "; ".join(reasons)


def hwaccel_of(device: Device | None) -> HWAccel | None:
    """Return what ``av.open`` takes as ``hwaccel``; a stream that the device cannot decode goes to the processor."""
    return None if device is None else HWAccel(device, allow_software_fallback=True)


def is_from_hardware(frame: av.VideoFrame) -> bool:
    """Whether hardware decoded a frame."""
    return frame.format.name.startswith(_HARDWARE_FORMATS)


class DecoderChoice:
    """The decoder that was asked for, and the one that is really used.

    Args:
        asked: software; hardware: any that there is, or else the processor with a note; or a device, which must be it.

    Raises:
        UserError: there is no such device, or it cannot be used.
    """

    def __init__(self, asked: str) -> None:
        self.device: Device | None = None
        self.note: str | None = None
        """Why software decodes, though hardware was asked for."""
        self.used = "software"
        """software, or the device; of the last frame that ``check_frame`` was given."""
        self._is_required = asked not in ("software", "hardware")
        if asked == "software":
            return
        self.device, reason = find_device(next((name for name in get_args(Device) if name == asked), None))
        if self.device is None:
            if self._is_required:
                raise UserError(
                    f"the decoder {asked} cannot be used ({reason}); decoder=hardware takes the processor then"
                )
            self.note = f"decoded by software: there is no hardware decoder ({reason})"

    def check_frame(self, frame: av.VideoFrame, codec: str) -> None:
        """Find out which decoder a frame came from.

        Raises:
            UserError: another one than the device that must be used.
        """
        if self.device is None:
            return
        self.used = self.device if is_from_hardware(frame) else "software"
        self.note = None
        if self.used == "software":
            self.note = f"decoded by software: {self.device} does not take this {codec} video ({frame.format.name})"
            if self._is_required:
                raise UserError(f"{self.note}; decoder=hardware allows it")

    @property
    def reader(self) -> str:
        """Name of reader and decoder for records: pyav, or pyav (cuda)."""
        return "pyav" if self.used == "software" else f"pyav ({self.used})"
