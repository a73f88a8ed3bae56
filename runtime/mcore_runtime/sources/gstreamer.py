"""GStreamer pipelines through its Python bindings: ``gst://`` as given, ``csi://`` for cameras on a Jetson's board, and
files and RTSP that a Jetson's decoder decodes.

A pipeline that GStreamer calls live is a camera's; another one, such as a file's, has an end, and waits for whoever
takes its frames.

GStreamer's messages quote properties, and those may be credentials; so an error is reported by its kind and element
only.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mcore.video.packets import check_complete
from mcore_runtime.sources import nvv4l2
from mcore_runtime.sources.errors import SourceError, StreamLost
from mcore_runtime.sources.file import scan_source
from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.gstreamer_library import load_gstreamer
from mcore_runtime.sources.uri import SourceURI, pipeline_elements

_SINK = "mcore_frames"
_TAIL = f" ! appsink name={_SINK} sync=false max-buffers=4 drop=false"
_TO_RGB = " ! videoconvert ! video/x-raw,format=RGB"
_ENDED = "the stream ended"
_POLL_S = 0.1
_CSI_SIZE, _CSI_RATE = (1920, 1080), 30.0


class GStreamerConnection:
    """A running pipeline.

    Args:
        uri: of kind gst or csi; or file or rtsp, for a Jetson's decoder.

    Raises:
        MissingDependencyError: GStreamer or its Python bindings are not installed.
        SourceError: the pipeline cannot be built.
        StreamLost: it does not start now.
    """

    decoder_note = None

    def __init__(self, uri: SourceURI) -> None:
        self._gst = load_gstreamer()
        self._uri = uri
        self._timeout_s = uri.options.timeout_s
        self._is_planar = uri.kind not in ("gst", "csi")
        self._colorimetry: str | None = None
        self._scan = scan_source(Path(uri.target)) if uri.kind == "file" else None
        self._pipeline = self._build(uri)
        self._bus = self._pipeline.get_bus()
        self._sink = self._pipeline.get_by_name(_SINK)
        self.reader = "gstreamer"
        """``gstreamer``; with its first picture also the elements that decode."""
        states, changes = self._gst.State, self._gst.StateChangeReturn
        paused = self._pipeline.set_state(states.PAUSED)
        self.is_live = paused == changes.NO_PREROLL
        self.keeps_all = not self.is_live
        if changes.FAILURE in (paused, self._pipeline.set_state(states.PLAYING)):
            reason = self._failure() or "the pipeline does not start"
            self.close()
            raise StreamLost(reason)

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures as they come.

        Raises:
            StreamLost: an error, the end of what is live, or no picture for too long.
            ClipError: a file that is damaged or truncated.
        """
        is_first = True
        last_s = time.monotonic()
        while True:
            sample = self._sink.emit("try-pull-sample", int(_POLL_S * self._gst.SECOND))
            now_s = time.monotonic()
            if sample is not None:
                if is_first:
                    is_first = False
                    self._inspect()
                yield self._picture(sample, now_s)
                last_s = time.monotonic()  # whoever takes the pictures of a recording may take his time
                continue
            reason = self._failure()
            if reason == _ENDED and not self.is_live:
                if self._scan is not None:
                    check_complete(Path(self._uri.target), self._scan, None)
                return
            if reason is not None:
                raise StreamLost(reason)
            if now_s - last_s > self._timeout_s:
                raise StreamLost(f"no picture for {self._timeout_s:g} s")

    def close(self) -> None:
        """Stop the pipeline."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _inspect(self) -> None:
        """Find out what decodes, now that the pipeline is complete, and how the stream tags its colours."""
        elements = self._pipeline.iterate_recurse()
        names = []
        while (found := elements.next())[0] == self._gst.IteratorResult.OK:
            factory = found[1].get_factory()
            if factory is not None and "Decoder" in (kind := factory.get_metadata("klass") or "") and "Bin" not in kind:
                names.append(factory.get_name())
        self.reader = f"gstreamer ({', '.join(names)})" if names else "gstreamer"
        if self._is_planar:
            self._colorimetry = nvv4l2.tagged_colorimetry(self._pipeline)

    def _build(self, uri: SourceURI) -> Any:
        if uri.kind == "gst":
            text = uri.target
        else:
            text = csi_pipeline(uri) if uri.kind == "csi" else nvv4l2.decoding_pipeline(uri)
        glib = importlib.import_module("gi.repository.GLib")
        reason = "it cannot be built"
        try:
            pipeline = self._gst.parse_launch(text + ("" if self._is_planar else _TO_RGB) + _TAIL)
        except glib.Error as error:  # its message quotes the pipeline
            missing = [name for name in pipeline_elements(text) if self._gst.ElementFactory.find(name) is None]
            named = [name for name in missing if name != "…"]
            reason = f"there is no element {named[0]!r}" if named else _kind(self._gst.ParseError, error.code)
            pipeline = None
        if pipeline is None:
            raise SourceError(f"{uri.public}: {reason}. Try it with gst-launch-1.0; leave out its sink here")
        if self._is_planar:
            pipeline.get_by_name(nvv4l2.SOURCE).set_property("location", uri.target)
        return pipeline

    def _failure(self) -> str | None:
        """Report of the pipeline: an error or its end."""
        kinds = self._gst.MessageType
        message = self._bus.pop_filtered(kinds.ERROR | kinds.EOS)
        if message is None:
            return None
        if message.type == kinds.EOS:
            return _ENDED
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
            if self._is_planar:
                rgb = nvv4l2.picture_of(rows, width, height, self._colorimetry)
            else:
                stride = (3 * width + 3) // 4 * 4  # GStreamer's rows of RGB end on multiples of 4 bytes
                rgb = rows[: stride * height].reshape(height, stride)[:, : 3 * width].reshape(height, width, 3).copy()
        finally:
            buffer.unmap(view)
        has_time = buffer.pts != self._gst.CLOCK_TIME_NONE
        return Picture(rgb, received_s, buffer.pts / self._gst.SECOND if has_time else None)


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
