"""A Jetson's decoder (nvv4l2decoder) for files and RTSP, as a GStreamer pipeline that hands out its planes as they are.

They are converted to RGB where all other frames are, and so to the same values; nvvidconv would do it in its own way.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import MissingDependencyError
from mcore.video.picture import to_rgb
from mcore_runtime.sources.errors import SourceError, StreamLost
from mcore_runtime.sources.gstreamer_library import load_gstreamer
from mcore_runtime.sources.uri import SourceURI

SOURCE, PARSER = "mcore_source", "mcore_parser"
"""Names of the pipeline's elements: the one that takes the address, and the one that knows how colours are tagged."""
_DECODE = "nvv4l2decoder ! nvvidconv"
_MATRICES = {3: 1, 4: 6, 5: 7, 6: 9}
"""FFmpeg's numbers of colour matrices (ITU-T H.273) by GStreamer's: BT.709, BT.601, SMPTE 240M, BT.2020."""
_NAMED = {"bt601": "2:4", "bt709": "2:3", "smpte240m": "2:5", "bt2020": "2:6", "bt2020-10": "2:6"}
"""GStreamer's short names of range and matrix; range 1 is full, 2 limited."""


def is_wanted(uri: SourceURI) -> bool:
    """Whether this decoder was asked for, or is what the machine has."""
    if uri.options.decoder != "hardware" or uri.kind not in ("file", "rtsp"):
        return uri.options.decoder == "nvv4l2"
    try:
        return load_gstreamer().ElementFactory.find(_DECODE.partition(" ")[0]) is not None
    except MissingDependencyError:
        return False


def decoding_pipeline(uri: SourceURI) -> str:
    """Write the pipeline, without the address: it may hold a password.

    Raises:
        SourceError: neither a file nor RTSP.
    """
    if uri.kind == "file":
        source = f"filesrc name={SOURCE} ! parsebin"
    elif uri.kind == "rtsp":
        source = f"rtspsrc name={SOURCE} protocols={uri.options.transport} ! application/x-rtp,media=video ! parsebin"
    else:
        raise SourceError(f"{uri.public}: the decoder nvv4l2 takes files and rtsp; allowed here: hardware, software")
    return f"{source} ! identity name={PARSER} ! {_DECODE} ! video/x-raw,format=NV12"


def picture_of(data: NDArray[np.uint8], width: int, height: int, colorimetry: str | None) -> NDArray[np.uint8]:
    """Convert a frame in NV12 to RGB.

    Args:
        data: all bytes of GStreamer's frame: luma, then both chroma planes in one.
        width: of the picture, pixels.
        height: of the picture, pixels.
        colorimetry: as the stream tags it, in GStreamer's words; None: it does not.

    Raises:
        StreamLost: the frame is laid out in another way.
    """
    pitch, rows = (width + 3) // 4 * 4, (height + 1) // 2 * 2
    if len(data) != pitch * rows * 3 // 2:
        raise StreamLost(f"a picture of {width}x{height} in {len(data)} bytes, whose layout is not known")
    planes = np.ascontiguousarray(data.reshape(rows * 3 // 2, pitch)[:, : (width + 1) // 2 * 2])
    frame = av.VideoFrame.from_ndarray(planes, format="nv12")
    full_range, matrix = _tags(colorimetry)
    frame.color_range = 2 if full_range else 1
    if matrix is not None:
        frame.colorspace = matrix
    return np.ascontiguousarray(to_rgb(frame)[:height, :width])


def tagged_colorimetry(pipeline: Any) -> str | None:
    """Read how the stream itself tags its colours: behind the decoder GStreamer fills in what it believes."""
    caps = pipeline.get_by_name(PARSER).get_static_pad("src").get_current_caps()
    text = None if caps is None else caps.get_structure(0).get_string("colorimetry")
    return None if text is None else str(text)


def _tags(colorimetry: str | None) -> tuple[bool, int | None]:
    """Full range or not, and FFmpeg's number of the matrix; None: not tagged."""
    parts = _NAMED.get(colorimetry or "", colorimetry or "").split(":")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        return False, None
    return parts[0] == "1", _MATRICES.get(int(parts[1]))
