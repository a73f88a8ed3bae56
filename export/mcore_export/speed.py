"""Speed of int8 graphs against fp32 ones on the same backend: measured in turns, in one run.

On a shared machine the milliseconds of two runs differ by more than the graphs do; the ratio within a round of turns
does not.

Example:
    >>> [row.text for row in compare_speed(fp32_backend, int8_backend, clip, exemplars) if not row.faster]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore_runtime.backends import Backend
from mcore_runtime.scoring.encoding import encode_clip

FloatArray = NDArray[np.float32]

BACKBONE = "backbone"
CHAIN = "whole chain"
ROUNDS = 20
_WARM_UP = 2
"""Rounds that are not counted: backends choose kernels and allocate in their first calls."""


@dataclass(frozen=True)
class SpeedRow:
    """Int8 against fp32, on one backend."""

    backend: str
    """Backend, such as ``openvino``."""
    part: str
    """``backbone`` or ``whole chain``: a clip's pixels in, score differences out."""
    ratio: float
    """Median over rounds of fp32's time over int8's: above 1, int8 is faster."""
    low: float
    """First quartile of the ratio."""
    high: float
    """Third quartile of the ratio."""

    @property
    def faster(self) -> bool:
        """Return whether int8 won three rounds of four."""
        return self.low > 1

    @property
    def text(self) -> str:
        """The ratio with its quartiles, in a line: turns in one run cancel what slows both."""
        return (
            f"{self.backend}, {self.part}: int8 is x{self.ratio:.2f} [{self.low:.2f}, {self.high:.2f}] as fast as "
            f"fp32, {ROUNDS} rounds in turns"
        )


def compare_speed(fp32: Backend, int8: Backend, clip: FloatArray, exemplars: FloatArray) -> tuple[SpeedRow, SpeedRow]:
    """Time both in turns.

    Args:
        fp32: a backend, opened on fp32 graphs.
        int8: the same backend with the same threads, opened on int8 graphs.
        clip: (3, T, c, c) float32; real pixels, because int8 ranges were made for them.
        exemplars: (E, 3K, D) tokens that a dive is compared with; 10 is the published number.

    Returns:
        Rows of the backbone and of the whole chain.
    """

    def row(part: str, call: Callable[[Backend], object]) -> SpeedRow:
        times_ms = in_turns({"fp32": lambda: call(fp32), "int8": lambda: call(int8)}, ROUNDS)
        low, ratio, high = np.percentile(times_ms["fp32"] / times_ms["int8"], (25, 50, 75)).tolist()
        return SpeedRow(fp32.name, part, ratio, low, high)

    return (
        row(BACKBONE, lambda backend: backend.backbone(clip[None])),
        row(CHAIN, lambda backend: backend.regressor(encode_clip(backend, clip).tokens[None], exemplars)),
    )


def in_turns(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    at_least_s: float = 0.0,
    warm_up_s: float = 0.0,
    every: Mapping[str, int] | None = None,
) -> dict[str, FloatArray]:
    """Return the milliseconds of each call in each round; the order alternates, so that none always follows the same.

    Forth, back, back, forth, and then the same the other way round: so the rounds of those that have a turn in every
    n-th one only are in both orders too.

    Args:
        calls: by name.
        rounds: how often each call has its turn.
        at_least_s: go on until the rounds have taken so long for each call, seconds.
        warm_up_s: warm up until the rounds have taken so long for each call, seconds; two rounds at least.
        every: by name, those that have a turn in every n-th round only, the first among them.

    Returns:
        (N,) float32 for each, of all rounds; NaN where it had no turn.
    """
    every = every or {}
    _rounds(calls, _WARM_UP, warm_up_s, every)
    found = _rounds(calls, rounds, at_least_s, every)
    return {name: np.array(values, np.float32) for name, values in found.items()}


def _rounds(
    calls: Mapping[str, Callable[[], object]], rounds: int, at_least_s: float, every: Mapping[str, int]
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    done, started = 0, time.perf_counter()
    while done < rounds or time.perf_counter() - started < at_least_s * len(calls):
        for name in names if done.bit_count() % 2 == 0 else reversed(names):
            if done % every.get(name, 1):
                times[name].append(float("nan"))
                continue
            began = time.perf_counter()
            calls[name]()
            times[name].append((time.perf_counter() - began) * 1e3)
        done += 1
    return times
