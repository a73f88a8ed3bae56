"""The spotter's network in NumPy: it is so small that it needs no inference engine, and runs in every installation."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.common.npz import read_arrays
from mcore.video.spotting import COLUMNS, LOOKS_BACK, ROWS, SPOTTER_SHIFTED, SPOTTER_SPAN

Array = NDArray[np.float32]
_CONVOLUTIONS = 4


class SpotterNetwork:
    """Convolutions over a picture's changes, one over the last pictures, a GRU over all; see ``mcore.network.spotter``.

    Args:
        weights: a file that ``mcore.train_spotter`` wrote.

    Raises:
        UserError: there is no such file, or it holds something else.
    """

    def __init__(self, weights: Path) -> None:
        try:
            self._kept = {name: array.astype(np.float32) for name, array in read_arrays(weights).items()}
            self._memory = self._kept["remember.weight_hh_l0"].shape[1]
            self._embedded = self._kept["over_time.weight"].shape[1]
            self.reset()
            self(np.zeros((len(LOOKS_BACK), ROWS, COLUMNS), np.float32), np.zeros(2, np.float32))
        except (ValueError, LookupError) as error:
            raise UserError(f"cannot read the spotter's weights from {weights}: {error}") from error
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._state = np.zeros(self._memory, np.float32)
        self._last = deque([np.zeros(self._embedded, np.float32)] * SPOTTER_SPAN, SPOTTER_SPAN)
        self._seen: dict[int, Array] = {}

    def __call__(self, changes: Array, shift: Array) -> Array:
        """Look at the next picture.

        Args:
            changes: (looks back, ROWS, COLUMNS) from ``mcore.video.spotting.changes``.
            shift: (2,) from ``scaled_shift``.

        Returns:
            (3,) probabilities of a take-off, an entry and a flight in the picture ``SPOTTER_DELAY`` before.
        """
        kept, x = self._kept, changes
        for index in range(_CONVOLUTIONS):
            if index in SPOTTER_SHIFTED:
                x = self._see_last(index, x)
            x = _convolve(x, kept[f"convolutions.{index}.weight"], kept[f"convolutions.{index}.bias"])
        x = np.concatenate([x.max(axis=2), x.mean(axis=2)]).ravel()
        self._last.append(np.maximum(kept["embed.weight"] @ x + kept["embed.bias"], 0))
        x = np.tensordot(kept["over_time.weight"], np.stack(self._last, axis=1), axes=2) + kept["over_time.bias"]
        self._state = self._remember(np.concatenate([np.maximum(x, 0), shift]))
        return _sigmoid(kept["tell.weight"] @ self._state + kept["tell.bias"])

    def _see_last(self, index: int, x: Array) -> Array:
        """Replace the first quarter of the channels by those of the picture before."""
        quarter = len(x) // 4
        before = self._seen.get(index, np.zeros_like(x[:quarter]))
        self._seen[index] = x[:quarter]
        return np.concatenate([before, x[quarter:]])

    def _remember(self, x: Array) -> Array:
        """One step of a GRU, with PyTorch's order of gates: reset, update, new."""
        kept, state = self._kept, self._state
        given = np.split(kept["remember.weight_ih_l0"] @ x + kept["remember.bias_ih_l0"], 3)
        held = np.split(kept["remember.weight_hh_l0"] @ state + kept["remember.bias_hh_l0"], 3)
        reset, update = _sigmoid(given[0] + held[0]), _sigmoid(given[1] + held[1])
        new = np.tanh(given[2] + reset * held[2])
        return np.asarray((1 - update) * new + update * state)


def _convolve(x: Array, weight: Array, bias: Array) -> Array:
    """Convolution of stride 2 with a border, and ReLU: (C, H, W) to (D, H / 2, W / 2)."""
    size = weight.shape[2]
    border = size // 2
    padded = np.pad(x, ((0, 0), (border, border), (border, border)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::2, ::2]
    out = np.tensordot(weight, windows, axes=([1, 2, 3], [0, 3, 4])) + bias[:, None, None]
    return np.asarray(np.maximum(out, 0))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))), np.float32)
