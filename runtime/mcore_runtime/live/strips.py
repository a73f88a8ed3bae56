"""Pictures of dives for people, from the very frames that were scored: film strip and compared moments."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mcore.video import SampledClip
from mcore_runtime.bundle.moments import Moment, draw_moments, to_jpeg
from mcore_runtime.report.filmstrip import NUM_PICTURES, choose_frames, strip_size

_MOST_KEPT = 64
"""Dives whose pictures, some 200 kB each, stay in memory."""


@dataclass(frozen=True)
class DivePictures:
    """What there is to see of one dive."""

    strip: tuple[bytes, ...]
    """JPEGs evenly spaced in time, the transitions among them."""
    moments: tuple[Moment, ...]
    """The moments that are compared with an exemplar's; none where the transitions are not known."""


class Strips:
    """The pictures of the last dives, made when they are first asked for.

    Args:
        load: returns the frames of a dive and its transitions, or None where there are none.
        tokens_per_stage: K of the network.
    """

    def __init__(self, load: Callable[[int], tuple[SampledClip, Sequence[int]] | None], tokens_per_stage: int) -> None:
        self._load, self._tokens_per_stage = load, tokens_per_stage
        self._drawn: OrderedDict[int, DivePictures] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, number: int) -> DivePictures | None:
        """Return a dive's pictures; None: its frames were not kept. One at a time, however many ask."""
        with self._lock:
            drawn = self._drawn.get(number)
            if drawn is None:
                loaded = self._load(number)
                return None if loaded is None else self._keep(number, draw(*loaded, self._tokens_per_stage))
            self._drawn.move_to_end(number)
            return drawn

    def put(self, number: int, clip: SampledClip, transitions: Sequence[int]) -> None:
        """Draw a dive whose frames are at hand, in place of what there was."""
        drawn = draw(clip, transitions, self._tokens_per_stage)
        with self._lock:
            self._keep(number, drawn)

    def _keep(self, number: int, drawn: DivePictures) -> DivePictures:
        self._drawn[number] = drawn
        self._drawn.move_to_end(number)
        if len(self._drawn) > _MOST_KEPT:
            self._drawn.popitem(last=False)
        return drawn


def draw(clip: SampledClip, transitions: Sequence[int], tokens_per_stage: int) -> DivePictures:
    """Return a dive's pictures in the source's aspect ratio.

    Args:
        clip: its frames are as narrow as the network takes them; they are stretched back.
        transitions: first frame of flight and of entry; none: not known.
        tokens_per_stage: K of the network.
    """
    size = strip_size(clip.source_width, clip.source_height)
    chosen = choose_frames(clip.pts_seconds, transitions, NUM_PICTURES)
    strip = tuple(to_jpeg(clip.frames[frame], size) for frame in chosen)
    return DivePictures(strip, draw_moments(clip, transitions, tokens_per_stage) if transitions else ())
