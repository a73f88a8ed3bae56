"""Encoding of a clip in two steps: its first frames while it still goes on, the others when it is over.

The prefix is used only if the clip turns out to begin with the very frames that it was computed from, compared pixel
by pixel; so how they were predicted need not be trusted.

Example:
    >>> prefix = encode_prefix(streaming, crop(first_frames, config), config)  # the dive goes on
    >>> if prefix.begins(frames):  # the dive is over
    ...     encoded = encode_suffix(backend, streaming, prefix, frames, config)
"""

from __future__ import annotations

import time
from collections.abc import Container
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.config import ClipConfig
from mcore.video import normalise
from mcore_runtime.backends import Backend
from mcore_runtime.backends.streaming import StreamingBackbone
from mcore_runtime.scoring.encoding import EncodedClip

# Shapes: T frames of a clip, H of them in the prefix, N numbers handed over, c pixels.


@dataclass(frozen=True, eq=False)
class EncodedPrefix:
    """Head start of a clip: what was computed before it was over."""

    frames: NDArray[np.uint8]
    """(H, c, c, 3) RGB, cropped: what it was computed from."""
    state: NDArray[np.float32]
    """(1, N) what the suffix goes on with."""
    took_ms: float
    """Milliseconds that it took."""

    def begins(self, frames: NDArray[np.uint8]) -> bool:
        """Return whether a clip, (T, c, c, 3) RGB, cropped, begins with exactly these frames."""
        return np.array_equal(self.frames, frames[: len(self.frames)])


def encode_prefix(streaming: StreamingBackbone, first: NDArray[np.uint8], config: ClipConfig) -> EncodedPrefix:
    """Run the first part of the backbone.

    Args:
        streaming: an opened streaming backbone.
        first: (H, c, c, 3) uint8 RGB, cropped, H = ``streaming.prefix_frames``; kept, so it must not change.
        config: the network's input contract.
    """
    began = time.perf_counter()
    state = streaming.prefix(normalise(first, config)[None])
    return EncodedPrefix(first, state, (time.perf_counter() - began) * 1e3)


def encode_suffix(
    backend: Backend, streaming: StreamingBackbone, prefix: EncodedPrefix, frames: NDArray[np.uint8], config: ClipConfig
) -> EncodedClip:
    """Run the second part of the backbone, and the segmenter.

    Args:
        backend: runs the segmenter.
        streaming: the backbone that computed the prefix.
        prefix: of this clip: ``prefix.begins(frames)``.
        frames: (T, c, c, 3) uint8 RGB, cropped: the whole clip.
        config: the network's input contract.

    Returns:
        The clip as ``encode_clip`` encodes it, up to rounding. ``timing_ms`` says in ``backbone_prefix`` what had been
        computed beforehand, and in ``preprocess`` and ``backbone`` what was left.
    """
    began = time.perf_counter()
    last = normalise(frames[len(prefix.frames) :], config)  # (3, T - H, c, c)
    prepared = time.perf_counter()
    features = streaming.suffix(last[None], prefix.state)  # (1, T, D)
    seen = time.perf_counter()
    logits, transitions, tokens = backend.segmenter(features)
    ended = time.perf_counter()
    timing_ms = {
        "backbone_prefix": prefix.took_ms,
        "preprocess": (prepared - began) * 1e3,
        "backbone": (seen - prepared) * 1e3,
        "segmenter": (ended - seen) * 1e3,
    }
    return EncodedClip(features[0], logits[0], transitions[0], tokens[0], timing_ms)


def had_head_start(timing_ms: Container[str]) -> bool:
    """Return whether a stored result had its prefix computed beforehand; older sessions call that ``backbone_head``."""
    return "backbone_prefix" in timing_ms or "backbone_head" in timing_ms
