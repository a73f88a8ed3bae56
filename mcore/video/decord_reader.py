"""The second reader: decord's random access, used only where it is provably exact."""

from __future__ import annotations

from pathlib import Path

from mcore.errors import ClipError
from mcore.video.clip import Choose, Keep, PickedFrames


def pick_frames(path: Path, choose: Choose, keep: Keep, *, needed_until_s: float | None = None) -> PickedFrames:
    """Read the chosen frames with decord."""
    raise ClipError("reader=decord is being written; use reader=pyav")
