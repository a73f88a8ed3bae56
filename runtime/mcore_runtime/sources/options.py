"""Options of a source, which follow its address: ``key=value&key=value``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import unquote_plus

from mcore_runtime.sources.errors import SourceError

Kind = Literal["file", "camera", "csi", "rtsp", "http", "gst", "synthetic"]
Transport = Literal["tcp", "udp"]
Pace = Literal["fast", "realtime"]
Rotation = Literal[0, 90, 180, 270]
Decoder = Literal["software", "hardware", "cuda", "vaapi", "nvv4l2"]
Redirects = Literal["same-host", "follow"]

_COMMON = frozenset({"name", "rotation", "queue"})
_NETWORK = frozenset({"open_timeout", "timeout"})
ALLOWED: Mapping[Kind, frozenset[str]] = {
    "file": _COMMON | {"pace", "decoder"},
    "camera": _COMMON | {"size", "rate", "format", "timeout"},
    "csi": _COMMON | {"size", "rate", "timeout"},
    "rtsp": _COMMON | _NETWORK | {"transport", "decoder"},
    "http": _COMMON | _NETWORK | {"redirects", "decoder"},
    "gst": _COMMON | {"timeout"},
    "synthetic": _COMMON | {"size", "rate", "pace"},
}
"""Options that every source of a kind understands; synthetic sources have more of their own."""

_MAX_QUEUED = 1024
_MAX_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class SourceOptions:
    """Options of opening and reading a source."""

    name: str | None = None
    """Name in logs and pages, instead of the address."""
    rotation: Rotation = 0
    """Degrees clockwise by which the picture is turned to stand upright."""
    queue: int = 8
    """Frames that may wait for the consumer."""
    size: tuple[int, int] | None = None
    """Width and height asked of a camera, pixels; None: its own choice."""
    rate: float | None = None
    """Frames a second asked of a camera; None: its own choice."""
    format: str | None = None
    """Pixel format asked of a V4L2 camera, such as mjpeg or yuyv422; None: its own choice."""
    transport: Transport = "tcp"
    """How RTSP carries pictures. TCP loses none; UDP is for networks where TCP stalls."""
    open_timeout_s: float = 10.0
    """Longest wait for a connection, seconds."""
    timeout_s: float = 5.0
    """Longest wait for a frame, seconds: after it a camera is reported as lost, and opened again."""
    decoder: Decoder = "software"
    """``hardware``: what the machine has, or else software with a note; the others: this device and no other.
    ``nvv4l2`` is a Jetson's, through GStreamer."""
    redirects: Redirects = "same-host"
    """Where an HTTP server may send us on to; ``follow``: anywhere."""
    pace: Pace | None = None
    """``fast``: as fast as frames are taken; ``realtime``: as they were taken. None: the kind's default."""


def split_options(text: str) -> dict[str, str]:
    """Split ``key=value&key=value``.

    Raises:
        SourceError: a key twice, or without a value. Values are never quoted: they may be secret.
    """
    values: dict[str, str] = {}
    for part in text.split("&"):
        if not part:
            continue
        key, equals, value = part.partition("=")
        key = unquote_plus(key).replace("-", "_")
        if not equals or not re.fullmatch(r"[a-z_0-9]+", key):
            raise SourceError("options of a source are key=value&key=value, with keys of small letters")
        if key in values:
            raise SourceError(f"the option {key} of a source is given twice; give it once")
        values[key] = unquote_plus(value)
    return values


def parse_options(kind: Kind, values: Mapping[str, str]) -> SourceOptions:
    """Read the options of a source.

    Args:
        kind: decides which options there are.
        values: texts by key, from ``split_options``.

    Raises:
        SourceError: an option that the kind does not have, or a value that cannot be.
    """
    allowed = ALLOWED[kind]
    if unknown := sorted(set(values) - allowed):
        raise SourceError(f"a {kind} source has no option {unknown[0]!r}; allowed: {', '.join(sorted(allowed))}")
    fields = {"timeout": "timeout_s", "open_timeout": "open_timeout_s"}
    read: dict[str, Any] = {fields.get(key, key): _READERS[key](key, text) for key, text in values.items()}
    return SourceOptions(**read)


def read_number(key: str, text: str, low: float, high: float) -> float:
    """Read a number between limits.

    Raises:
        SourceError: not a number, or outside.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise SourceError(f"the option {key} is {text[:20]!r}; give a number from {low:g} to {high:g}")
    return value


def read_integer(key: str, text: str, low: int, high: int) -> int:
    """Read a whole number between limits.

    Raises:
        SourceError: not a whole number, or outside.
    """
    value = read_number(key, text, low, high)
    if value != int(value):
        raise SourceError(f"the option {key} is {text[:20]!r}; give a whole number")
    return int(value)


def read_choice(key: str, text: str, choices: tuple[str, ...]) -> str:
    """Read one of several words.

    Raises:
        SourceError: none of them.
    """
    if text not in choices:
        raise SourceError(f"the option {key} is {text[:20]!r}; allowed: {', '.join(choices)}")
    return text


def read_size(key: str, text: str) -> tuple[int, int]:
    """Read width and height, ``1280x720``.

    Raises:
        SourceError: not a size.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None or min(int(match[1]), int(match[2])) < 16:
        raise SourceError(f"the option {key} is {text[:20]!r}; give width and height in pixels, such as 1280x720")
    return int(match[1]), int(match[2])


def _read_name(key: str, text: str) -> str:
    if not re.fullmatch(r"[^\x00-\x1f\x7f]{1,60}", text):
        raise SourceError(f"the option {key} is a label of 1 to 60 characters")
    return text


def _read_format(key: str, text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,20}", text):
        raise SourceError(f"the option {key} is {text[:20]!r}; give FFmpeg's name of a pixel format, such as mjpeg")
    return text


_READERS: Mapping[str, Callable[[str, str], Any]] = {
    "name": _read_name,
    "rotation": lambda key, text: int(read_choice(key, text, tuple(str(r) for r in get_args(Rotation)))),
    "queue": lambda key, text: read_integer(key, text, 1, _MAX_QUEUED),
    "size": read_size,
    "rate": lambda key, text: read_number(key, text, 1.0, 1000.0),
    "format": _read_format,
    "transport": lambda key, text: read_choice(key, text, get_args(Transport)),
    "open_timeout": lambda key, text: read_number(key, text, 0.1, _MAX_TIMEOUT_S),
    "timeout": lambda key, text: read_number(key, text, 0.1, _MAX_TIMEOUT_S),
    "decoder": lambda key, text: read_choice(key, text, get_args(Decoder)),
    "redirects": lambda key, text: read_choice(key, text, get_args(Redirects)),
    "pace": lambda key, text: read_choice(key, text, get_args(Pace)),
}
