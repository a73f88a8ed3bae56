"""Converting, resizing and normalising of frames, in native code where it was built: the same numbers, much faster.

The module ``mcore_native`` is built with the package where there is a C++ compiler. Without it, or with the environment
variable ``MCORE_NATIVE=0``, Pillow and NumPy do the work and ``describe`` says so.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.video import yuv
from mcore.video.yuv import Picture, Planes

if TYPE_CHECKING:
    from mcore_native import Plan

VARIABLE = "MCORE_NATIVE"
_MAX_PLANS = 8
"""Geometries remembered in each thread; a process reads few sizes of video, and a plan takes about a megabyte."""


def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get(VARIABLE) == "0":
        return None, f"{VARIABLE}=0"
    try:
        import mcore_native
    except ImportError as error:
        return None, str(error)
    return mcore_native, ""


_module, _reason = _load()
REMEDY = (
    "install a C++ compiler (sudo apt install g++ python3-dev), then this project again (pip install "
    "--force-reinstall --no-deps FOLDER); the results are the same"
)
"""What to do where native code was not built; pip does not say so."""


class _Plans(threading.local):
    """Plans of this thread: each has scratch memory of its own."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, ...], Plan] = {}

    def find(self, module: ModuleType, key: tuple[int, ...]) -> Plan:
        plan = self.known.pop(key, None)
        if plan is None:
            if len(self.known) == _MAX_PLANS:
                del self.known[next(iter(self.known))]  # the one that was not used for longest
            plan = module.Plan(*key)
        self.known[key] = plan
        return plan


_plans = _Plans()


def describe() -> str:
    """Say in a few words what converts and resizes frames in this process."""
    if _module is None:
        return f"Pillow and NumPy (native code is not used: {_reason})"
    return f"native code, {_module.instruction_set()}"


def warning() -> str | None:
    """Say that native code was not built, where it was wanted; None: it is there, or was switched off."""
    if _module is not None or os.environ.get(VARIABLE) == "0":
        return None
    return f"native code was not built ({_reason}), and frames are resized some twenty times slower: {REMEDY}"


def instruction_sets() -> tuple[str, ...]:
    """Names of the native code's kernels that this processor can run; none without native code."""
    return () if _module is None else tuple(_module.instruction_sets())


@contextmanager
def computing_with(implementation: str) -> Iterator[None]:
    """Compute with one of ``instruction_sets``, or with ``NumPy`` (and Pillow), for a comparison.

    Holds for the whole process.
    """
    global _module
    module = _module
    if module is None or implementation == "NumPy":
        _module = None
        try:
            yield
        finally:
            _module = module
        return
    before = module.instruction_set()
    module.use_instruction_set(implementation)
    try:
        yield
    finally:
        module.use_instruction_set(before)


def to_rgb(picture: Picture) -> NDArray[np.uint8]:
    """Convert planes to RGB, (H, W, 3); RGB stays as it is."""
    if not isinstance(picture, Planes):
        return picture
    if _module is None:
        return yuv.to_rgb(picture)
    out = np.empty(picture.shape, np.uint8)
    _module.convert(picture.y, picture.u, picture.v, picture.conversion, out)
    return out


def resize(picture: Picture, out: NDArray[np.uint8], size: tuple[int, int] | None = None) -> None:
    """Resize with Pillow's antialiased BILINEAR, horizontally first, to the size of ``out``.

    Pillow up to 12 works horizontally first; Pillow 13 does not where a frame shrinks much more in height than in
    width, and then differs by one grey level in places.

    Args:
        picture: (H, W, 3) uint8, any strides, or planes: then no whole RGB picture is ever made.
        out: (h, w, 3) uint8, any strides; written.
        size: rows and columns of the resized picture of which ``out`` gets the centre, and which then is computed no
            further than that; None: those of ``out``.

    Raises:
        ValueError: ``out`` is larger than ``size``.
    """
    height, width = picture.shape[:2]
    rows, columns = out.shape[:2]
    out_height, out_width = size or (rows, columns)
    top, left = (out_height - rows) // 2, (out_width - columns) // 2
    if _module is not None:
        plan = _plans.find(_module, (width, height, out_width, out_height, left, top, columns, rows))
        if isinstance(picture, Planes):
            plan.resize_yuv(picture.y, picture.u, picture.v, picture.conversion, out)
        else:
            plan.resize(picture, out)
        return
    narrowed = Image.fromarray(to_rgb(picture)).resize((out_width, height), Image.Resampling.BILINEAR)
    resized = np.asarray(narrowed.resize((out_width, out_height), Image.Resampling.BILINEAR))
    if rows > out_height or columns > out_width:
        raise ValueError(f"{out.shape} is larger than the resized picture, {size}")
    out[:] = resized[top : top + rows, left : left + columns]


def look_up(frames: NDArray[np.uint8], table: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Replace every value by its channel's entry of a table, channels first.

    Args:
        frames: (T, h, w, 3) uint8, any strides.
        table: (3, 256) float32, contiguous.
        out: (3, T, h, w) float32, contiguous; written.
    """
    if _module is not None:
        _module.normalise(frames, table, out)
        return
    for channel in range(3):
        np.take(table[channel], frames[..., channel], out=out[channel], mode="clip")
