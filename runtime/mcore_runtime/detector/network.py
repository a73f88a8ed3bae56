"""The spotter's network in NumPy: it is so small that it needs no inference engine, and runs in every installation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.video.spotting import SPOTTER_STRIDES

Array = NDArray[np.float32]


class SpotterNetwork:
    """Convolutions for each picture, a GRU over all; it remembers what it saw.

    Args:
        weights: a file that ``mcore.train_spotter`` wrote.

    Raises:
        UserError: there is no such file, or it holds something else.
    """

    def __init__(self, weights: Path) -> None:
        try:
            with np.load(weights) as kept:
                self._kept = {name: kept[name].astype(np.float32) for name in kept.files}
            # (width, C * 3 * 3) each: a convolution is a product with all windows of 3 x 3 pixels.
            self._kernels = [self._kept[f"kernel_{i}"] for i in range(len(SPOTTER_STRIDES))]
            self._memory = self._kept["gru_hidden"].shape[1]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"cannot read the spotter's weights from {weights}: {error}") from error
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._state = np.zeros(self._memory, np.float32)

    def __call__(self, maps: Array, shift: Array) -> Array:
        """Look at the next picture.

        Args:
            maps: (CHANNELS, ROWS, COLUMNS) from ``features``.
            shift: (2,) movement of the picture, from ``features``.

        Returns:
            (3,) probabilities of a take-off, an entry and a flight in the picture ``SPOTTER_DELAY`` before.
        """
        kept = self._kept
        x = maps
        for index, (kernel, stride) in enumerate(zip(self._kernels, SPOTTER_STRIDES, strict=True)):
            x = _convolve(x, kernel, kept[f"bias_{index}"], stride)
        x = np.concatenate([x.max(axis=2), x.mean(axis=2)]).ravel()
        x = np.maximum(kept["embed"] @ x + kept["embed_bias"], 0)
        self._state = self._remember(np.concatenate([x, shift]))
        return _sigmoid(kept["tell"] @ self._state + kept["tell_bias"])

    def _remember(self, x: Array) -> Array:
        """One step of a GRU, with PyTorch's order of gates: reset, update, new."""
        kept, state = self._kept, self._state
        given = np.split(kept["gru_input"] @ x + kept["gru_input_bias"], 3)
        held = np.split(kept["gru_hidden"] @ state + kept["gru_hidden_bias"], 3)
        reset, update = _sigmoid(given[0] + held[0]), _sigmoid(given[1] + held[1])
        new = np.tanh(given[2] + reset * held[2])
        return np.asarray((1 - update) * new + update * state)


def _convolve(x: Array, kernel: Array, bias: Array, stride: tuple[int, int]) -> Array:
    """Convolution of 3 x 3 with a border of 1, and ReLU: (C, H, W) to (width, H', W')."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, :: stride[0], :: stride[1]]
    channels, rows, columns = windows.shape[:3]
    flat = windows.transpose(0, 3, 4, 1, 2).reshape(channels * 9, rows * columns)
    out = kernel @ flat
    out += bias[:, None]
    return np.asarray(np.maximum(out, 0, out=out).reshape(-1, rows, columns))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))), np.float32)
