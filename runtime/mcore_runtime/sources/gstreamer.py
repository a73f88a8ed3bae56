"""GStreamer pipelines through its Python bindings: ``gst://`` as given, ``csi://`` for cameras on a Jetson's board.

GStreamer's messages quote properties, and those may be credentials; so an error is reported by its kind and element
only.
"""

from __future__ import annotations

import ctypes
import importlib
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from mcore.common.errors import MissingDependencyError
from mcore_runtime.sources.errors import SourceError, StreamLost
from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.uri import SourceURI, pipeline_elements

_SINK = "mcore_frames"
_TAIL = f" ! videoconvert ! video/x-raw,format=RGB ! appsink name={_SINK} sync=false max-buffers=4 drop=false"
_POLL_S = 0.1
_CSI_SIZE, _CSI_RATE = (1920, 1080), 30.0


class GStreamerConnection:
    """A running pipeline.

    Args:
        uri: of kind gst or csi.

    Raises:
        MissingDependencyError: GStreamer or its Python bindings are not installed.
        SourceError: the pipeline cannot be built.
        StreamLost: it does not start now.
    """

    is_live = True
    keeps_all = False
    reader = "gstreamer"

    def __init__(self, uri: SourceURI) -> None:
        self._gst = load_gstreamer()
        self._timeout_s = uri.options.timeout_s
        text = uri.target if uri.kind == "gst" else csi_pipeline(uri)
        self._pipeline = self._build(text, uri)
        self._bus = self._pipeline.get_bus()
        self._sink = self._pipeline.get_by_name(_SINK)
        if self._pipeline.set_state(self._gst.State.PLAYING) == self._gst.StateChangeReturn.FAILURE:
            reason = self._failure() or "the pipeline does not start"
            self.close()
            raise StreamLost(reason)

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures as they come.

        Raises:
            StreamLost: an error, the end, or no picture for too long.
        """
        last_s = time.monotonic()
        while True:
            sample = self._sink.emit("try-pull-sample", int(_POLL_S * self._gst.SECOND))
            now_s = time.monotonic()
            if sample is not None:
                last_s = now_s
                yield self._picture(sample, now_s)
                continue
            reason = self._failure()
            if reason is not None:
                raise StreamLost(reason)
            if now_s - last_s > self._timeout_s:
                raise StreamLost(f"no picture for {self._timeout_s:g} s")

    def close(self) -> None:
        """Stop the pipeline."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _build(self, text: str, uri: SourceURI) -> Any:
        glib = importlib.import_module("gi.repository.GLib")
        reason = "it cannot be built"
        try:
            pipeline = self._gst.parse_launch(text + _TAIL)
        except glib.Error as error:  # its message quotes the pipeline
            missing = [name for name in pipeline_elements(text) if self._gst.ElementFactory.find(name) is None]
            named = [name for name in missing if name != "…"]
            reason = f"there is no element {named[0]!r}" if named else _kind(self._gst.ParseError, error.code)
            pipeline = None
        if pipeline is None:
            raise SourceError(f"{uri.public}: {reason}. Try it with gst-launch-1.0; leave out its sink here")
        return pipeline

    def _failure(self) -> str | None:
        """Report of the pipeline: an error or its end."""
        kinds = self._gst.MessageType
        message = self._bus.pop_filtered(kinds.ERROR | kinds.EOS)
        if message is None:
            return None
        if message.type == kinds.EOS:
            return "the stream ended"
        error, _ = message.parse_error()
        domains = {
            "gst-resource-error-quark": self._gst.ResourceError,
            "gst-stream-error-quark": self._gst.StreamError,
            "gst-core-error-quark": self._gst.CoreError,
            "gst-library-error-quark": self._gst.LibraryError,
        }
        domain = domains.get(error.domain)
        factory = message.src.get_factory() if hasattr(message.src, "get_factory") else None
        where = "" if factory is None else f" in {factory.get_name()}"
        return f"GStreamer error{where}: {'unknown' if domain is None else _kind(domain, error.code)}"

    def _picture(self, sample: Any, received_s: float) -> Picture:
        structure = sample.get_caps().get_structure(0)
        width, height = structure.get_value("width"), structure.get_value("height")
        buffer = sample.get_buffer()
        mapped, view = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            raise StreamLost("a picture cannot be read")
        try:
            rows = np.frombuffer(view.data, np.uint8)
            stride = (3 * width + 3) // 4 * 4  # GStreamer's rows of RGB end on multiples of 4 bytes
            rgb = rows[: stride * height].reshape(height, stride)[:, : 3 * width].reshape(height, width, 3).copy()
        finally:
            buffer.unmap(view)
        has_time = buffer.pts != self._gst.CLOCK_TIME_NONE
        return Picture(rgb, received_s, buffer.pts / self._gst.SECOND if has_time else None)


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


def csi_pipeline(uri: SourceURI) -> str:
    """Write the pipeline of a Jetson's camera: ISP, conversion on the GPU's image engine, then main memory."""
    width, height = uri.options.size or _CSI_SIZE
    rate = uri.options.rate or _CSI_RATE
    fraction = f"{round(rate)}/1" if rate == round(rate) else f"{round(rate * 1001)}/1001"
    return (
        f"nvarguscamerasrc sensor-id={uri.target} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={fraction},format=NV12 ! "
        "nvvidconv ! video/x-raw,format=BGRx"
    )


def _kind(errors: Any, code: int) -> str:
    """GStreamer's name of an error code."""
    try:
        return str(errors(code).value_nick).replace("-", " ")
    except ValueError:
        return f"error {code}"
