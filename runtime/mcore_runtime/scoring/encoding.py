"""One pass of the network over one clip: everything about a dive before it is compared with others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.backends import Backend


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """T frames with D features each, pooled to K tokens for each of the three stages."""

    features: NDArray[np.float32]
    """(T, D) features of each sampled frame."""
    logits: NDArray[np.float32]
    """(T, 2) raw scores of each frame as the first of the flight and of the entry."""
    transitions: NDArray[np.int64]
    """(2,) first sampled frame of the flight and of the entry."""
    tokens: NDArray[np.float32]
    """(3K, D) pooled tokens, stage after stage."""
    timing_ms: Mapping[str, float]
    """Milliseconds for ``backbone`` and ``segmenter``."""


def encode_clip(backend: Backend, clip: NDArray[np.float32]) -> EncodedClip:
    """Run backbone and segmenter on one clip; needs an opened backend, but no bundle yet.

    Args:
        backend: from ``open_backend``.
        clip: (3, T, c, c) float32, as ``mcore.read_clip`` returns it.
    """
    began = time.perf_counter()
    features = backend.backbone(clip[None])  # (1, T, D)
    seen = time.perf_counter()
    logits, transitions, tokens = backend.segmenter(features)
    ended = time.perf_counter()
    timing_ms = {"backbone": (seen - began) * 1e3, "segmenter": (ended - seen) * 1e3}
    return EncodedClip(features[0], logits[0], transitions[0], tokens[0], timing_ms)
