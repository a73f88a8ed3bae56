"""Small grey pictures at an even pace, as the spotter of dives sees a stream; the same in training and live."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SPOTTER_WEIGHTS = Path(__file__).with_name("spotter.npz")
"""Trained by python -m mcore.train_spotter, with its own defaults."""
SAMPLES_PER_S = 12.0
"""Pictures that the spotter looks at each second, at most."""
ROWS, COLUMNS = 100, 56
"""Size of its pictures: half of that which networks see, in both directions."""
SPOTTER_DELAY = 5
"""Pictures that the network looks ahead, 0.42 s: only then can a take-off be told from a hurdle."""
SPOTTER_SPAN = 5
"""Pictures that its convolution over time sees at once: 0.42 s."""
SPOTTER_SHIFTED = (2, 3)
"""Convolutions, from 0, that see a quarter of their channels as they were one picture before (Lin et al., TSM, ICCV
2019)."""
LOOKS_BACK = (1, 3)
"""Samples back to the pictures that changes are taken to."""
_LEAST_CONTRAST = 8.0
"""Grey levels that are added to a picture's standard deviation before it is divided by it."""
_MOST_ROWS, _MOST_COLUMNS = 40, 24
"""Largest movement from one picture to the next; anything beyond is a cut, or chance."""
SHIFT_UNIT = 8.0
"""Rows or columns of movement that count as 1."""
_EARLY_S = 1e-3
"""Clocks round: a picture this much before its time is taken."""


class Pace:
    """Chooses the pictures of a stream that are looked at."""

    def __init__(self) -> None:
        self._due_s = -math.inf

    def takes(self, time_s: float) -> bool:
        """Return whether the picture of this time is looked at; call it once for each, in order."""
        if time_s < self._due_s - _EARLY_S:
            return False
        late = time_s - self._due_s > 1 / SAMPLES_PER_S
        self._due_s = (time_s if late else self._due_s) + 1 / SAMPLES_PER_S
        return True


def shrink(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce a picture of the networks' size to grey.

    Args:
        picture: (2 * ROWS, 2 * COLUMNS, 3) uint8.

    Returns:
        (ROWS, COLUMNS) uint8.
    """
    # Sums of 2 x 2 pixels in three channels; green counts twice, as in luminance.
    pixels = picture.astype(np.uint16)
    grey = pixels[..., 0] + 2 * pixels[..., 1] + pixels[..., 2]
    half = grey[0::2, 0::2] + grey[1::2, 0::2] + grey[0::2, 1::2] + grey[1::2, 1::2]
    return np.asarray(half >> 4, np.uint8)


class MotionOfPicture:
    """Tells how far the whole picture moved since the last one, by phase correlation."""

    def __init__(self) -> None:
        self._spectrum: NDArray[np.complex64] | None = None
        self._window = np.outer(np.hanning(ROWS + 2)[1:-1], np.hanning(COLUMNS + 2)[1:-1]).astype(np.float32)

    def update(self, picture: NDArray[np.uint8]) -> tuple[int, int]:
        """Return how many rows down and columns right the scene moved in the picture; 0, 0 for the first.

        Args:
            picture: (ROWS, COLUMNS) uint8.
        """
        pixels = picture.astype(np.float32)
        spectrum = np.fft.rfft2((pixels - pixels.mean()) * self._window).astype(np.complex64)
        before, self._spectrum = self._spectrum, spectrum
        if before is None:
            return 0, 0
        cross = spectrum * before.conj()
        cross /= np.abs(cross) + 1e-3 * np.abs(cross).max() + 1e-6
        peaks = np.fft.irfft2(cross, s=(ROWS, COLUMNS))
        row, column = divmod(int(peaks.argmax()), COLUMNS)
        down = row - ROWS if row > ROWS // 2 else row
        right = column - COLUMNS if column > COLUMNS // 2 else column
        return (down, right) if abs(down) <= _MOST_ROWS and abs(right) <= _MOST_COLUMNS else (0, 0)


def changes(pictures: Sequence[NDArray[np.uint8]], shifts: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Return what changed in the newest picture, when the camera's movement is undone.

    What things look like is left out: drawings and films differ most in that, and a falling body in neither.

    Args:
        pictures: the last ones, (ROWS, COLUMNS) uint8 each, the newest last; ``max(LOOKS_BACK) + 1`` are looked at.
        shifts: of each, from ``MotionOfPicture``.

    Returns:
        (looks back, ROWS, COLUMNS) float32, about -2 to 2: the change since each earlier picture, in standard
        deviations of the newest one's grey levels; its root with its sign, so that faint changes count.
    """
    now = pictures[-1].astype(np.float32)
    change = np.zeros((len(LOOKS_BACK), ROWS, COLUMNS), np.float32)
    for place, back in enumerate(LOOKS_BACK):
        if len(pictures) > back:
            down, right = np.sum(shifts[-back:], axis=0).tolist()
            _subtract_moved(change[place], now, pictures[-1 - back], down, right)
    change /= now.std() + _LEAST_CONTRAST
    return np.asarray(np.copysign(np.sqrt(np.abs(change)), change))


def scaled_shift(shift: tuple[int, int]) -> NDArray[np.float32]:
    """Movement of the picture as the network takes it: (2,) float32."""
    return np.array(shift, np.float32) / SHIFT_UNIT


def _subtract_moved(
    out: NDArray[np.float32], now: NDArray[np.float32], before: NDArray[np.uint8], down: int, right: int
) -> None:
    """Difference of a picture and an earlier one that is moved along; 0 where the earlier one does not reach."""
    if abs(down) >= ROWS or abs(right) >= COLUMNS:
        return
    to = (slice(max(0, down), ROWS + min(0, down)), slice(max(0, right), COLUMNS + min(0, right)))
    was = (slice(max(0, -down), ROWS - max(0, down)), slice(max(0, -right), COLUMNS - max(0, right)))
    np.subtract(now[to], before[was], out=out[to])
