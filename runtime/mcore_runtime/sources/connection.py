"""Interface of a connection to a source, and the choice of its reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.stream_history import StreamHistory
from mcore_runtime.sources.uri import SourceURI


class Connection(Protocol):
    """An open source, used by one thread."""

    is_live: bool
    """Whether an end is a loss, after which it is connected again."""
    keeps_all: bool
    """Whether frames wait for whoever takes them; else those that nobody takes in time are gone."""

    @property
    def reader(self) -> str:
        """What decodes: pyav, gstreamer or rendered, with the device in brackets where it is hardware."""
        ...

    @property
    def decoder_note(self) -> str | None:
        """Why another decoder is used than was asked for, and which of several tracks is read; None: nothing to say."""
        ...

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures until the source ends.

        Raises:
            StreamLost: it failed, or stalled for longer than the options allow.
            ClipError: a file that is damaged.
        """
        ...

    def close(self) -> None:
        """Free it; ``pictures`` cannot go on."""
        ...


def connect(uri: SourceURI, *, first: bool, history: StreamHistory) -> Connection:
    """Open a source.

    Args:
        uri: its address.
        first: whether it was never open before; then what only a person can repair is an error.
        history: what earlier connections to a server brought.

    Raises:
        StreamLost: it cannot be opened now.
        SourceError: it cannot be opened as it was given.
        ClipError: a file that is not a video.
    """
    from mcore_runtime.sources.nvv4l2 import is_wanted

    if uri.kind in ("csi", "gst") or is_wanted(uri):
        from mcore_runtime.sources.gstreamer import GStreamerConnection

        return GStreamerConnection(uri)
    if uri.kind == "file":
        from mcore_runtime.sources.file import FileConnection

        return FileConnection(uri)
    if uri.kind == "synthetic":
        from mcore_runtime.sources.rendered import RenderedConnection

        return RenderedConnection(uri)
    from mcore_runtime.sources.network import open_stream

    return open_stream(uri, first=first, history=history)
