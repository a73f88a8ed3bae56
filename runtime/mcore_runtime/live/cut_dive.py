"""Record of a dive that was cut out of the stream and is not scored yet."""

from __future__ import annotations

from dataclasses import dataclass

from mcore.video import SampledClip
from mcore_runtime.live.prefix import PrefixJob
from mcore_runtime.session.dive import FoundBy


@dataclass(frozen=True, eq=False)
class CutDive:
    """Clip and video of a dive that is over."""

    found_by: FoundBy
    source: str
    """The public form of the source's address."""
    clip: SampledClip | None
    """Its frames as the network takes them; None: the stream has too few."""
    start_s: float
    """Time of the clip's first frame on the stream's clock, seconds."""
    end_s: float
    """Time of the clip's last frame."""
    takeoff_s: float | None
    """Detected take-off; None: not detected."""
    entry_s: float | None
    """Detected entry; None: not detected."""
    arrived_s: float
    """``time.monotonic()`` when the last frame arrived."""
    dropped: int
    """Frames within it that nobody took in time."""
    reasons: tuple[str, ...]
    """Reasons why it must not be scored; empty: it may."""
    notes: tuple[str, ...]
    video: bytes | None
    """The dive as an MP4 file; None: none is kept."""
    video_start_s: float | None
    """Time of the video's first frame on the stream's clock."""
    prefix: PrefixJob | None = None
    """Head start: the backbone's prefix; None: there was none."""
