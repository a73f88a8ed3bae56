"""Clips kept as folders of images, one file a frame, as data sets of dives are distributed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.common.errors import ClipError
from mcore.video.clip import Choose, Keep, PickedFrames

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""File names that count as frames; anything else in the folder is ignored."""


def natural_key(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Sort key that reads runs of digits as numbers: 2.jpg before 10.jpg."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts], name


def list_images(folder: Path) -> list[Path]:
    """List a folder's frames in order.

    Raises:
        ClipError: the folder holds no images.
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
    return sorted(images, key=lambda path: natural_key(path.name))


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read one image as RGB.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ClipError: not an image, or a damaged one.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ClipError(
            f"{path} cannot be read as an image ({error}); replace this frame, or remove the file"
        ) from error


def pick_images(folder: Path, choose: Choose, keep: Keep, fps: float) -> PickedFrames:
    """Read the chosen frames of an image folder.

    Args:
        folder: holds one image a frame, in natural order of their names.
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
    return PickedFrames(pts_seconds, indices, pictures, width, height, "images")
