"""Clips kept as folders of images, one file a frame, as data sets of dives are distributed."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mcore.common.errors import ClipError
from mcore.video.clip import Choose, Keep, PickedFrames
from mcore.video.picture import size_fault

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""File names that count as frames; anything else in the folder is ignored."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""What the files may hold; Pillow would also run Ghostscript on one that is called .png."""
_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N")

_NUMBER = re.compile(r"(?:(?<![^\W_])-)?\d+(?:\.\d+)?")
"""A number within a name, seconds too; a dash after a letter or digit separates, elsewhere it is a minus."""
_MAX_NAMED = 4


def list_images(folder: Path) -> list[Path]:
    """List a folder's frames by their numbers.

    Raises:
        ClipError: the folder holds no images, or not exactly one series of numbered ones.
    """
    images = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not images:
        raise ClipError(
            f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)}); give a video file, or a folder with the "
            "frames of one clip, numbered in order"
        )
    numbers = image_numbers(images)
    order = sorted(range(len(images)), key=numbers.__getitem__)
    for earlier, later in itertools.pairwise(order):
        if numbers[earlier] == numbers[later]:
            names = " and ".join(sorted((images[earlier].name, images[later].name)))
            raise ClipError(f"{folder} holds two images of one number, {names}; keep one of each frame")
    return [images[k] for k in order]


def image_numbers(images: Sequence[Path]) -> list[Decimal]:
    """Read the numbers of one series of images: what varies in their names, and nothing else may.

    Raises:
        ClipError: several series, or numbers whose order is not certain.
    """
    folder = images[0].parent
    found = [_NUMBER.findall(path.stem) for path in images]
    patterns = [_pattern(path, keep_numbers=()) for path in images]
    if len(set(patterns)) > 1:
        raise _several_series(folder, patterns)
    varying = [k for k, values in enumerate(zip(*found, strict=True)) if len(set(values)) > 1]
    if len(varying) > 1:
        raise _several_series(folder, [_pattern(path, keep_numbers=varying[:-1]) for path in images])
    if not varying:  # a single image, or the same name with two suffixes
        return [Decimal(0)] * len(images)
    texts = [values[varying[0]] for values in found]
    numbers = [Decimal(text) for text in texts]
    # 0.5 and 0.25 may be seconds, and 1.9 and 1.10 frames of a first shot; -1 and -2 may follow a dash.
    if len({len(text.partition(".")[2]) for text in texts}) > 1 or all(text.startswith("-") for text in texts):
        raise ClipError(
            f"the order of the images in {folder} is not certain from names such as {images[0].name}; number them "
            "without a sign, with the same digits after the point"
        )
    return numbers


def describe_gaps(images: Sequence[Path]) -> str | None:
    """Say how many images are missing, and where first: another clip may begin there. None: none is.

    Args:
        images: one series in order, whose step is the smallest one between two of them.
    """
    numbers = image_numbers(images)
    steps = [later - earlier for earlier, later in itertools.pairwise(numbers)]
    missing = [round(step / min(steps)) - 1 for step in steps]
    first = next((k for k, count in enumerate(missing) if count), None)
    if first is None:
        return None
    return f"{sum(missing)} image(s) missing, first between {images[first].name} and {images[first + 1].name}"


def _pattern(path: Path, *, keep_numbers: Sequence[int]) -> str:
    """A name with # for its numbers, all but some; .jpeg is .jpg."""
    count = -1

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return match.group() if count in keep_numbers else "#"

    suffix = path.suffix.lower().replace(".jpeg", ".jpg")
    return _NUMBER.sub(replaced, path.stem) + suffix


def _several_series(folder: Path, patterns: Sequence[str]) -> ClipError:
    counts = sorted(Counter(patterns).items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{pattern} ({count})" for pattern, count in counts[:_MAX_NAMED])
    more = f" and {len(counts) - _MAX_NAMED} more" if len(counts) > _MAX_NAMED else ""
    return ClipError(
        f"{folder} holds images of several series: {named}{more}; a folder must hold the frames of one clip only, "
        "numbered at one place of their names. Move the others away"
    )


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read one image as it is meant to be shown: upright 8-bit RGB.

    The orientation in its EXIF data is followed, of 16 bits the upper 8 count, and alpha is dropped as from video.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ClipError: not an image, a damaged or too large one, an animation, or of a mode that has no meaning as RGB.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if fault := size_fault(image.width, image.height):  # known before anything is decoded
                raise ValueError(fault)
            # The further pictures in a phone's JPEG (MPO) are previews and depth; the first one is shown.
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise ValueError("an animation; a frame is one picture")
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except Exception as error:  # Pillow's parsers raise whatever a damaged file makes of them
        raise ClipError(
            f"{path} cannot be read as an image ({error or type(error).__name__}); replace this frame, or remove the "
            "file"
        ) from error


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert by meaning: Pillow itself clips 16 bits to 255, which is white."""
    # Pillow before 11 opens PNG of 16 bits as integers of 32.
    if image.mode in _16_BIT or (image.mode == "I" and image.format == "PNG"):
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)  # (H, W)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode} does not say which value is white; write 8 or 16 bits")
    return np.asarray(image.convert("RGB"))


def pick_images(folder: Path, choose: Choose, keep: Keep, fps: float) -> PickedFrames:
    """Read the chosen frames of an image folder.

    Args:
        folder: holds one image a frame, numbered in order.
        choose: from the times of all frames, those wanted.
        keep: what to keep of each.
        fps: frames a second; images do not say.

    Raises:
        ClipError: no images, an unreadable one, or a chosen frame of another size than the first.
    """
    images = list_images(folder)
    pts_seconds = np.arange(len(images)) / fps
    indices = choose(pts_seconds)
    pictures: dict[int, NDArray[np.uint8]] = {}
    size: tuple[int, int] | None = None
    for index in np.unique(indices).tolist():
        rgb = read_image(images[index])
        size = size or rgb.shape[:2]
        if rgb.shape[:2] != size:
            raise ClipError(
                f"{images[index]} is {rgb.shape[1]} x {rgb.shape[0]} pixels, the frames before it are "
                f"{size[1]} x {size[0]}; a folder must hold the frames of one clip only"
            )
        pictures[index] = keep(rgb)
    height, width = size or (0, 0)
    gaps = describe_gaps(images)
    return PickedFrames(pts_seconds, indices, pictures, width, height, "images", () if gaps is None else (gaps,))
