"""Checks of what lies on the disk: folders of images and video files, each dive on its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mcore.common.errors import ClipError
from mcore.config import ClipConfig
from mcore.data.findings import Finding
from mcore.data.labels import LabelledDive
from mcore.data.manifest import DiveRecord
from mcore.video import sample_clip
from mcore.video.image_folder import list_images, read_image
from mcore.video.reader import IMAGE_FOLDER_FPS

_SMALL = ClipConfig(num_frames=4, resize_height=8, resize_width=8, crop_size=8)
"""A video is decoded to its end whatever is kept of it."""


def check_images(dive: LabelledDive, *, decode: bool) -> list[Finding]:
    """Check a dive's video file or folder of images.

    Args:
        dive: with a record.
        decode: read every image, or decode the video to the clip's end.

    Returns:
        What is wrong; nothing else escapes, whatever the file holds.
    """
    record = dive.record
    if record is None:
        return []
    try:
        if record.path.is_dir():
            return list(_check_folder(dive.name, record, decode))
        if not record.path.exists():
            return [Finding("error", "images", dive.name, f"no {record.path}")]
        if decode:
            sample_clip(record.path, _SMALL, start_s=record.start_s, end_s=record.end_s)
    except (ClipError, OSError) as error:
        return [Finding("error", "unreadable", dive.name, str(error))]
    except Exception as error:  # one damaged file must not end the check of three thousand
        return [Finding("error", "unreadable", dive.name, f"{record.path}: {type(error).__name__}: {error}")]
    return []


def _check_folder(name: str, record: DiveRecord, decode: bool) -> Iterator[Finding]:
    try:
        images = list_images(record.path)
    except ClipError as error:
        yield Finding("error", "images", name, str(error))
        return
    start, end = (None if time is None else round(time * IMAGE_FOLDER_FPS) for time in (record.start_s, record.end_s))
    if end is not None and end > len(images):
        yield Finding("error", "images", name, f"{len(images)} images in {record.path}; the clip ends at {end}")
    clip = images[start:end]
    if record.num_frames is not None and len(clip) != record.num_frames and end is None:
        kind = "extra" if len(clip) > record.num_frames else "missing"
        yield Finding(
            "warning", "frame-count", name, f"{len(clip)} images and {record.num_frames} labels ({kind} images)"
        )
    if gaps := _gaps(clip):
        yield Finding(
            "warning", "frame-gap", name, f"{gaps} image(s) missing between {clip[0].name} and {clip[-1].name}"
        )
    if decode:
        yield from _unreadable(name, clip)


def _gaps(images: list[Path]) -> int:
    """Count numbers that are missing between the first image's and the last one's; 0 where names are not numbers."""
    numbers = [path.stem for path in images]
    if not numbers or not all(number.isdecimal() for number in numbers):
        return 0
    return int(numbers[-1]) - int(numbers[0]) + 1 - len(numbers)


def _unreadable(name: str, images: list[Path]) -> Iterator[Finding]:
    read = [_size_or_error(path) for path in images]
    yield from (Finding("error", "unreadable", name, str(found)) for found in read if isinstance(found, ClipError))
    sizes = sorted({found for found in read if not isinstance(found, ClipError)})
    if len(sizes) > 1:
        text = ", ".join(f"{width} x {height}" for height, width in sizes)
        yield Finding("error", "unreadable", name, f"images of several sizes: {text}")


def _size_or_error(path: Path) -> tuple[int, int] | ClipError:
    try:
        height, width, _ = read_image(path).shape
        return height, width
    except ClipError as error:
        return error
