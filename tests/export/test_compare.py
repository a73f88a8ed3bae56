"""Comparison with PyTorch: flipped transitions that are ties of rounding, and those of wrong graphs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mcore.config import ClipConfig, GraphDecoding
from mcore_export.parity.compare import Expected, ExpectedClip, FloatArray, IntArray, compare
from mcore_export.parity.limits import DEFAULT_LIMITS
from mcore_runtime.bundle.records import ParityRow

T, D = 8, 2
EXPECTED = (2, 5)
LIMITS = dataclasses.replace(DEFAULT_LIMITS["fp32"], tie=1e-3)


class Decoder:
    """A backend that computes all that is expected, but decodes as it is told; nothing here depends on tokens."""

    name, provider = "fake", "fake"
    precision = {"backbone": "fp32"}  # noqa: RUF012
    notes = ()

    def __init__(self, clip: ExpectedClip, transitions: tuple[int, int]) -> None:
        self.clip, self.transitions = clip, np.array([transitions])

    def backbone(self, clip: FloatArray) -> FloatArray:
        return self.clip.features[None]

    def segmenter(self, features: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
        return self.clip.logits[None], self.transitions, self.clip.tokens[None]

    def regressor(self, query: FloatArray, exemplars: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.zeros(len(exemplars), np.float32), np.zeros((len(exemplars), 3), np.float32)

    def close(self) -> None: ...


def flips(
    found: tuple[int, int],
    flight: list[float],
    entry: list[float],
    wanted: tuple[int, int],
    decoding: GraphDecoding = "published",
) -> ParityRow:
    """Compare one clip that is decoded wrongly; logits of the flight and of the entry by frame."""
    logits = np.array([flight, entry], np.float32).T
    frames = np.zeros((T, 4, 4, 3), np.uint8)
    clip = ExpectedClip(frames, np.ones((T, D), np.float32), logits, np.array(wanted), np.ones((3, D), np.float32))
    expected = Expected(
        ClipConfig(num_frames=T, resize_height=4, resize_width=4, crop_size=4),
        decoding,
        (clip, clip),
        np.zeros(2),
        np.zeros((2, 2), np.float32),
        tuple(np.zeros(n, np.float32) for n in (1, 2, 10, 37)),
        tuple(np.zeros((n, 3), np.float32) for n in (1, 2, 10, 37)),
    )
    rows = compare(Decoder(clip, found), expected, LIMITS)
    return next(row for row in rows if (row.part, row.measure) == ("segmenter", "flips"))


def peaks(**values: float) -> list[float]:
    """Logits with some frames' values."""
    return [values.get(f"f{frame}", -1.0) for frame in range(T)]


@pytest.mark.parametrize(
    ("found", "flight", "entry", "wanted", "tied"),
    [
        ((3, 5), peaks(f2=1, f3=0.9999), peaks(f5=1), EXPECTED, True),
        ((3, 5), peaks(f2=1, f3=0.9), peaks(f5=1), EXPECTED, False),
        # Searched in the whole clip: the other half's frame is higher, and still wrong.
        ((6, 5), peaks(f2=1, f6=3), peaks(f5=1), EXPECTED, False),
        ((2, 1), peaks(f2=1), peaks(f5=1, f1=3), EXPECTED, False),
        ((2, 1), peaks(f2=1), peaks(f5=1, f1=1), EXPECTED, False),
        ((2, T), peaks(f2=1), peaks(f5=1), EXPECTED, False),
        ((0, 5), peaks(f0=1), peaks(f5=1), (1, 5), False),  # a flight from frame 0 leaves no take-off
        # Frame 0 counts as 1, so it is frame 0's logit that another frame has to come close to.
        ((3, 5), peaks(f0=1, f1=0.2, f3=0.2), peaks(f5=1), (1, 5), False),
        ((3, 5), peaks(f0=1, f3=0.9999), peaks(f5=1), (1, 5), True),
    ],
)
def test_a_tie_is_a_frame_that_was_searched_and_came_close(
    found: tuple[int, int], flight: list[float], entry: list[float], wanted: tuple[int, int], tied: bool
) -> None:
    row = flips(found, flight, entry, wanted)
    assert row.passed == tied
    assert row.figure == (0 if tied else 0.5)


@pytest.mark.parametrize(
    ("found", "flight", "entry", "tied"),
    [
        ((6, 7), peaks(f2=1, f6=1), peaks(f5=1, f7=0.9999), True),  # nearly as probable a pair
        ((6, 7), peaks(f2=1, f6=1), peaks(f5=1, f7=0.9), False),
        ((6, 5), peaks(f2=1, f6=1), peaks(f5=1, f7=1), False),  # an entry before the flight
        ((2, T), peaks(f2=1), peaks(f5=1), False),
    ],
)
def test_ordered_transitions_tie_as_pairs(
    found: tuple[int, int], flight: list[float], entry: list[float], tied: bool
) -> None:
    assert flips(found, flight, entry, EXPECTED, "ordered").passed == tied
