"""Protocols of a live session as the page sees it; ``mcore_runtime.live.session.LiveSession`` has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.live.broadcast import News
from mcore_runtime.live.commands import Command
from mcore_runtime.report.exemplar_comparison import ComparedMoments
from mcore_runtime.session.dive import LiveDive


class Listener(Protocol):
    """News that wait for one listener."""

    @property
    def is_over(self) -> bool:
        """Return whether nothing will come any more."""

    def get(self, timeout_s: float | None) -> News | None:
        """Take the oldest news; None after the time-out, and once there will be none."""

    def close(self) -> None:
        """Receive no more; wakes whoever waits in ``get``."""


class Session(Protocol):
    """A session as the page sees it; every method is for any thread."""

    def snapshot(self) -> Mapping[str, Any]:
        """All that a page shows, as plain JSON; cheap."""

    def dive(self, number: int) -> LiveDive | None:
        """A dive; None: there is no such dive."""

    def subscribe(self) -> Listener:
        """Listen to what happens from now on."""

    def picture(self) -> tuple[int, NDArray[np.uint8]] | None:
        """Number and pixels (h, w, 3) RGB of the newest frame; None: there is none."""

    def strip(self, number: int) -> list[bytes] | None:
        """JPEGs of a dive's scored frames; None: they were not kept."""

    def exemplar_comparison(self, number: int) -> ComparedMoments | None:
        """A dive and its closest exemplar, moment by moment; None: there are no pictures of one of them."""

    def clip_path(self, number: int) -> Path | None:
        """MP4 file of a dive; None: there is none."""

    def do(self, command: Command) -> None:
        """Do what an operator asks; raises ``UserError`` where it cannot be done."""
