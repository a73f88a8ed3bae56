"""Pictures of a session's dives: from their videos where those hold the very frames that were scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.video import SampledClip, sample_clip
from mcore_runtime.bundle.exemplar_pictures import ExemplarPictures
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.report.filmstrip import strip_size
from mcore_runtime.session.data import SessionData
from mcore_runtime.session.dive import LiveDive

SAME_TIME_S = 0.005
"""A video's clock counts in 1/90,000 s, so the same frame can seem this little earlier; frames are 0.008 s apart at the
least (120 a second)."""


def dive_frames(session: SessionData, dive: LiveDive) -> SampledClip | str:
    """Return a dive's scored frames, at a size to look at where its video holds them, or why there are none.

    Args:
        session: whose dive it is.
        dive: of it.
    """
    try:
        clip = session.load_clip(dive.number)
    except UserError as error:
        return str(error)
    return from_video(session.folder, dive, clip) or clip


def recorded_part(folder: Path, dive: LiveDive) -> tuple[Path, float, float] | None:
    """Return a dive's video, and the seconds at which its clip begins and ends there; None: no video was kept."""
    if dive.recording is None or dive.recording_start_s is None:
        return None
    start_s = max(0.0, dive.start_s - dive.recording_start_s - SAME_TIME_S)
    return folder / dive.recording, start_s, dive.end_s - dive.recording_start_s + SAME_TIME_S


def exemplar_pictures(session: SessionData) -> ExemplarPictures | None:
    """Return the pictures of the exemplars that dives were compared with; None: the bundle is gone, or has none."""
    try:
        return Bundle.open(str(session.facts.get("bundle"))).exemplar_pictures()
    except (UserError, OSError):  # such as a folder that only the service may read
        return None


def from_video(folder: Path, dive: LiveDive, clip: SampledClip) -> SampledClip | None:
    """Read a dive's frames at a size to look at; None: there is no video, or it holds other frames.

    What the network takes is 112 pixels wide, whatever the camera saw.

    Args:
        folder: of the session.
        dive: of it.
        clip: the frames that were scored.
    """
    part = recorded_part(folder, dive)
    if part is None:
        return None
    width, height = strip_size(clip.source_width, clip.source_height)
    config = ClipConfig(num_frames=len(clip.frames), resize_height=height, resize_width=width, crop_size=1)
    path, start_s, end_s = part
    try:
        video = sample_clip(path, config, start_s=start_s, end_s=end_s)
    except (UserError, OSError):
        return None
    is_same = video.num_source_frames == clip.num_source_frames and np.array_equal(video.indices, clip.indices)
    return video if is_same and np.allclose(video.pts_seconds, clip.pts_seconds, atol=SAME_TIME_S) else None
