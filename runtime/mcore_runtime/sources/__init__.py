"""Frames from a file, camera, network stream, GStreamer pipeline or rendered meet, by one address."""

from mcore_runtime.sources.errors import SourceError, StreamLost
from mcore_runtime.sources.frame import Frame
from mcore_runtime.sources.source import Source, SourceState, SourceStatus, open_source
from mcore_runtime.sources.uri import SourceURI, parse_source, with_decoder

__all__ = [
    "Frame",
    "Source",
    "SourceError",
    "SourceState",
    "SourceStatus",
    "SourceURI",
    "StreamLost",
    "open_source",
    "parse_source",
    "with_decoder",
]
