"""Reading of clips from video files and image folders: the one way in, for training, export and scoring."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from mcore.common.errors import ClipError
from mcore.config import ClipConfig
from mcore.video import image_folder, native, pyav_reader
from mcore.video.clip import Choose, Keep, PickedFrames, Reader, SampledClip
from mcore.video.preprocess import crop, normalise, resize_frame
from mcore.video.sampling import clip_window, sample_indices_by_time, shown_seconds
from mcore.video.yuv import Picture

IMAGE_FOLDER_FPS = 25.0
"""Frames a second of image folders, which do not say: the rate of television."""


def sample_clip(
    source: str | Path,
    config: ClipConfig = ClipConfig(),  # noqa: B008 - frozen
    *,
    reader: Reader = "auto",
    start_s: float | None = None,
    end_s: float | None = None,
    central: bool = False,
    decoder_threads: bool = True,
) -> SampledClip:
    """Sample a clip's frames and resize them.

    Args:
        source: a video file that FFmpeg reads, or a folder with one image a frame.
        config: number and size of the frames.
        reader: what decodes; ``auto`` is ``images`` for folders and ``pyav`` for files.
        start_s: the clip begins with the first frame shown at or after this time, in seconds after the source's
            first frame; at the first frame by default.
        end_s: the clip ends before the first frame shown at or after this time; with the last frame by default.
        central: compute only the square of each frame that ``crop`` cuts from the centre.
        decoder_threads: decode several frames at once; without, one core does it all. The pixels are the same.

    Raises:
        ClipError: missing, empty, truncated, damaged, not a video, or fewer than two frames in the window.
    """
    path = Path(source)
    _check_window(start_s, end_s)

    def choose(pts_seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        window = _window(path, pts_seconds, start_s, end_s)
        indices: NDArray[np.int64] = window.start + sample_indices_by_time(pts_seconds[window], config.num_frames)
        return indices

    def keep(picture: Picture) -> NDArray[np.uint8]:
        return resize_frame(picture, config, central=central)

    picked = _pick(path, reader, choose, keep, end_s, decoder_threads)
    window = _window(path, picked.pts_seconds, start_s, end_s)
    pts_seconds = picked.pts_seconds[window] - picked.pts_seconds[window.start]
    indices = picked.indices - window.start
    count = len(pts_seconds)
    return SampledClip(
        frames=np.stack([picked.pictures[index] for index in picked.indices.tolist()]),
        pts_seconds=pts_seconds[indices],
        indices=indices,
        num_source_frames=count,
        duration_s=shown_seconds(pts_seconds),
        source_width=picked.source_width,
        source_height=picked.source_height,
        source=str(source),
        reader=picked.reader,
        notes=picked.notes,
    )


def read_clip(
    source: str | Path,
    config: ClipConfig = ClipConfig(),  # noqa: B008 - frozen
    *,
    reader: Reader = "auto",
    start_s: float | None = None,
    end_s: float | None = None,
) -> NDArray[np.float32]:
    """Read a clip as network input: sampled, resized, cropped at the centre, normalised.

    Args:
        source: a video file that FFmpeg reads, or a folder with one image a frame.
        config: number and size of the frames, mean and standard deviation.
        reader: what decodes; ``auto`` is ``images`` for folders and ``pyav`` for files.
        start_s: where the clip begins, seconds after the source's first frame.
        end_s: where it ends.

    Returns:
        (3, T, c, c) float32, by default (3, 96, 112, 112).

    Raises:
        ClipError: missing, empty, truncated, damaged, not a video, or fewer than two frames in the window.

    Example:
        >>> clip = read_clip("dive.mp4")  # doctest: +SKIP
    """
    sampled = sample_clip(source, config, reader=reader, start_s=start_s, end_s=end_s, central=True)
    return normalise(crop(sampled.frames, config), config)


def read_source_frames(
    source: str | Path,
    indices: ArrayLike,
    *,
    max_height: int,
    start_s: float | None = None,
    end_s: float | None = None,
) -> list[NDArray[np.uint8]]:
    """Read pictures of a clip's frames, with the source's aspect ratio, for reports.

    Args:
        source: a video file or an image folder.
        indices: frames of the clip, as ``SampledClip.indices`` numbers them, in any order.
        max_height: taller frames are reduced to this height, pixels.
        start_s: as given to ``sample_clip``.
        end_s: as given to ``sample_clip``.

    Returns:
        One (h, w, 3) uint8 RGB picture for each index.

    Raises:
        ClipError: as ``sample_clip``, or a frame that the clip does not have.
    """
    path = Path(source)
    _check_window(start_s, end_s)
    wanted = np.asarray(indices, np.int64).reshape(-1)
    if not len(wanted):
        return []
    first = 0

    def choose(pts_seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        nonlocal first
        window = _window(path, pts_seconds, start_s, end_s)
        first = window.start
        count = window.stop - window.start
        if wanted.min() < 0 or wanted.max() >= count:
            raise ClipError(f"{path} has frames 0..{count - 1}; asked for {wanted.min()}..{wanted.max()}")
        chosen: NDArray[np.int64] = np.unique(wanted) + first
        return chosen

    picked = _pick(path, "auto", choose, lambda picture: _reduce(native.to_rgb(picture), max_height), end_s)
    return [picked.pictures[index + first] for index in wanted.tolist()]


def look_through(
    source: str | Path, begin: Callable[[NDArray[np.float64]], Callable[[Picture, float], None]]
) -> NDArray[np.float64]:
    """Show every frame of a source to somebody, in order, without keeping any: memory does not grow with its length.

    Args:
        source: a video file or an image folder.
        begin: given the presentation times (N,) of all frames, in seconds after the first; returns what is shown each
            picture and its time. It is called again where reading has to begin anew, and must forget what was seen.

    Returns:
        (N,) the times of all frames.

    Raises:
        ClipError: as ``sample_clip``.
    """
    nothing = np.empty(0, np.uint8)
    place, times, look = 0, np.empty(0), None

    def choose(pts_seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        nonlocal place, times, look
        place, times, look = 0, pts_seconds, begin(pts_seconds)
        return np.arange(len(pts_seconds))

    def keep(picture: Picture) -> NDArray[np.uint8]:
        nonlocal place
        assert look is not None
        look(picture, float(times[place]))
        place += 1
        return nothing

    return _pick(Path(source), "auto", choose, keep, None).pts_seconds


def _pick(
    path: Path, reader: Reader, choose: Choose, keep: Keep, end_s: float | None, threads: bool = True
) -> PickedFrames:
    """Send the request to the reader asked for; none stands in for another."""
    if reader not in get_args(Reader):
        raise ClipError(f"there is no reader {reader!r}; allowed: {', '.join(get_args(Reader))}")
    if not path.exists():
        raise ClipError(f"there is no file or folder {path}; check the path")
    if reader == "auto":
        reader = "images" if path.is_dir() else "pyav"
    if reader == "images":
        if not path.is_dir():
            raise ClipError(f"{path} is a file; reader=images needs a folder of images (files: reader=pyav)")
        return image_folder.pick_images(path, choose, keep, IMAGE_FOLDER_FPS)
    return pyav_reader.pick_frames(path, choose, keep, needed_until_s=end_s, threads=threads)


def _check_window(start_s: float | None, end_s: float | None) -> None:
    for name, value in (("start_s", start_s), ("end_s", end_s)):
        if value is not None and (not math.isfinite(value) or value < 0):
            raise ClipError(f"{name} is {value}; give seconds after the source's first frame, 0 or more")
    if end_s is not None and end_s <= (start_s or 0.0):
        raise ClipError(f"end_s {end_s} is not after start_s {start_s or 0.0}; a clip needs at least two frames")


def _window(path: Path, pts_seconds: NDArray[np.float64], start_s: float | None, end_s: float | None) -> slice:
    """Find the frames of the clip among those of the source."""
    window = clip_window(pts_seconds, start_s, end_s)
    if window.stop - window.start < 2:
        part = "" if start_s is None and end_s is None else f" from {start_s or 0.0} s to {end_s or 'its end'}"
        raise ClipError(
            f"{path} has {max(0, window.stop - window.start)} frame(s){part}; a clip needs at least 2 (the source has "
            f"{len(pts_seconds)}, the last at {pts_seconds[-1]:.2f} s)"
        )
    return window


def _reduce(rgb: NDArray[np.uint8], max_height: int) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    if height <= max_height:
        return rgb
    size = (max(1, round(width * max_height / height)), max_height)
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
