"""Comparison of a recorded run (a CUDA graph) with the plain one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 1e-2
"""Relative; a replay on stale inputs is off by as much as the values themselves."""


def agree(actual: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Equal up to rounding, which the choice of kernels or the order of additions can change.

    Whole numbers may differ: a decoded frame flips with the last bit of its logits.
    """
    if actual.dtype.kind != "f":
        return True
    scale = float(np.abs(expected).max())
    return bool(np.isfinite(actual).all() and np.abs(actual - expected).max() <= _TOLERANCE * max(scale, 1e-12))
