"""Text made safe for a terminal: control characters, as in file names and labels, become escapes.

``printable`` is for text of several lines, ``printable_message`` for messages of one line that quote a name or a label.
"""

from __future__ import annotations

import io
import os
import re
from typing import Any, TextIO

# All control characters but tab and line feed, and the marks that turn the direction of what follows. Joiners stay:
# Persian, Sinhala and Malayalam names need them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_NEW_LINES = re.compile("\n(?!  )")


def printable(text: str) -> str:
    r"""Write control characters as escapes, such as ``\x1b``."""
    return _CONTROLS.sub(_escape, text)


def printable_message(text: str) -> str:
    r"""Write control characters as escapes, line feeds too: a name must not begin a line that looks like another one.

    Lines that begin with two spaces stay: so messages list what they are about.
    """
    return _NEW_LINES.sub(_escape, printable(text))


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()


class PrintableStream(io.TextIOBase):
    """A text stream that writes control characters as escapes.

    On a terminal rich needs them for its colours. There it finds the stream below as ``rich_proxied_file``, and what
    it is given to print goes through ``printable`` before.

    Args:
        stream: where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if stream.isatty() or os.environ.get("FORCE_COLOR"):
            self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write text; returns its length."""
        self._stream.write(printable(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream below."""
        self._stream.flush()

    def fileno(self) -> int:
        """Descriptor of the stream below."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the stream below is a terminal."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the stream below."""
        return self._stream.encoding

    @property
    def buffer(self) -> Any:
        """Bytes below the stream below."""
        return self._stream.buffer
