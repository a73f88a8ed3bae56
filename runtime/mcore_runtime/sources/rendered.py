"""Rendered meets as a source: ``synthetic://meet?seed=1``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from mcore.diving.difficulty import HEIGHTS_M
from mcore.synthetic.heights import check_drawn
from mcore.synthetic.meet.course import plan_meet
from mcore.synthetic.meet.scene import Scene
from mcore.synthetic.meet.settings import DEFAULT_RATE, DEFAULT_SIZE, DISTRACTORS, CameraKind, MeetSettings, MeetWorld
from mcore_runtime.sources.errors import SourceError
from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.options import read_choice, read_integer, read_number
from mcore_runtime.sources.timeline import paced
from mcore_runtime.sources.uri import SourceURI


class RenderedConnection:
    """A meet that is rendered while it is watched.

    Args:
        uri: of kind synthetic.

    Raises:
        SourceError: an option that there is not.
        UserError: a meet that cannot be.
    """

    reader = "the renderer"
    decoder_note = None

    def __init__(self, uri: SourceURI) -> None:
        self.is_live = uri.is_live
        self.keeps_all = not uri.is_live
        self.meet = plan_meet(settings_of(uri))

    def pictures(self) -> Iterator[Picture]:
        """Yield its frames: in real time, or as fast as they are rendered."""
        pictures = self._render()
        return paced(pictures) if self.is_live else pictures

    def _render(self) -> Iterator[Picture]:
        rate = self.meet.settings.rate
        for index, rgb in enumerate(Scene(self.meet).frames()):
            yield Picture(rgb, time.monotonic(), index / rate)

    def close(self) -> None:
        """Nothing is held."""


def settings_of(uri: SourceURI) -> MeetSettings:
    """Read the settings from a ``synthetic://`` address.

    Raises:
        SourceError: an option that there is not, or a value that cannot be.
    """
    unknown = sorted(set(uri.extra) - set(_READERS))
    if unknown:
        raise SourceError(
            f"a synthetic source has no option {unknown[0]!r}; allowed: {', '.join(sorted(_READERS))}, name, pace, "
            "queue, rate, rotation, size"
        )
    values: dict[str, Any] = {_FIELDS.get(key, key): _READERS[key](key, text) for key, text in uri.extra.items()}
    width, height = uri.options.size or DEFAULT_SIZE
    rate = uri.options.rate or DEFAULT_RATE
    if rate != int(rate):
        raise SourceError(f"the option rate is {rate:g}; a synthetic source takes whole frames a second")
    return MeetSettings(**values, width=width, height=height, rate=int(rate))


def _read_distractors(key: str, text: str) -> frozenset[str]:
    if text in ("all", "none"):
        return frozenset(DISTRACTORS if text == "all" else ())
    return frozenset(read_choice(key, word, DISTRACTORS) for word in text.split(","))


def _read_height(key: str, text: str) -> int:
    height_m = read_number(key, text, min(HEIGHTS_M), max(HEIGHTS_M))
    check_drawn(height_m)
    return int(height_m)


_FIELDS = {"pause": "pause_s", "height": "height_m", "numbers": "dive_numbers"}
_READERS: Mapping[str, Callable[[str, str], Any]] = {
    "seed": lambda key, text: read_integer(key, text, 0, 2**31),
    "dives": lambda key, text: read_integer(key, text, 1, 100_000),
    "pause": lambda key, text: read_number(key, text, 0.0, 600.0),
    "height": _read_height,
    "camera": lambda key, text: read_choice(key, text, get_args(CameraKind)),
    "distractors": _read_distractors,
    "numbers": lambda key, text: tuple(text.split(",")),
    "world": lambda key, text: read_choice(key, text, get_args(MeetWorld)),
}
