"""How much faster one variant of the graphs is than another on the same engine: measured in turns, in one run.

On a shared machine the milliseconds of two runs differ by more than the variants do; the ratio within a round of
turns does not.

Example:
    >>> rows = compare_speed({"fp32": fp32_backend, "int8": int8_backend}, clip, exemplars)
    >>> [describe_speed(row) for row in rows if not row.faster]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore_runtime.backends import Backend
from mcore_runtime.scoring.encoding import encode_clip

FloatArray = NDArray[np.float32]

BACKBONE = "backbone"
CHAIN = "whole chain"
_WARM_UP = 2
"""Rounds that are not counted: engines choose kernels and allocate in their first calls."""


@dataclass(frozen=True)
class SpeedRow:
    """One variant against the baseline, on one engine."""

    backend: str
    """Engine, such as ``openvino``."""
    provider: str
    """What really ran the graphs."""
    part: str
    """``backbone`` or ``whole chain``: a clip's pixels in, score differences out."""
    variant: str
    baseline: str
    median_ms: float
    baseline_ms: float
    """Median of the baseline in the same rounds."""
    ratio: float
    """Median over rounds of the baseline's time over the variant's: above 1, the variant is faster."""
    low: float
    """First quartile of the ratio."""
    high: float
    """Third quartile."""
    rounds: int

    @property
    def faster(self) -> bool:
        """Whether it won three rounds of four."""
        return self.low > 1


def compare_speed(
    backends: Mapping[str, Backend],
    clip: FloatArray,
    exemplars: FloatArray,
    *,
    baseline: str = "fp32",
    rounds: int = 20,
) -> tuple[SpeedRow, ...]:
    """Time variants of the same graphs in turns.

    Args:
        backends: by variant: the same engine with the same threads, opened on different graphs.
        clip: (3, T, c, c) float32; real pixels, because int8 ranges were made for them.
        exemplars: (E, 3K, D) tokens that a dive is compared with; 10 is the published number.
        baseline: the variant that others are compared with.
        rounds: how often each variant has its turn.

    Returns:
        Two rows for each variant but the baseline: backbone, and the whole chain.

    Raises:
        UserError: no such baseline, nothing to compare with it, or fewer than four rounds.
    """
    if baseline not in backends or len(backends) < 2 or rounds < 4:
        raise UserError(
            f"comparing the speed of {', '.join(backends) or 'nothing'} with {baseline} in {rounds} rounds: it takes "
            "the baseline, another variant, and at least 4 rounds"
        )
    rows: list[SpeedRow] = []
    for part, call in ((BACKBONE, _backbone), (CHAIN, _chain)):
        calls = {name: call(backend, clip, exemplars) for name, backend in backends.items()}
        times_ms = in_turns(calls, rounds)
        rows += [_row(backends[name], part, name, baseline, times_ms) for name in backends if name != baseline]
    return tuple(rows)


def describe_speed(row: SpeedRow) -> str:
    """Return a row as one line of the command's output."""
    return (
        f"{row.backend:11}  {row.part:11}  {row.variant:5} {row.median_ms:7.1f} ms, {row.baseline} "
        f"{row.baseline_ms:7.1f} ms: x{row.ratio:.2f} [{row.low:.2f}, {row.high:.2f}]"
    )


def describe_ratio(row: SpeedRow) -> str:
    """Return what of a row holds beyond the machine's mood: the ratio, with its quartiles."""
    return (
        f"{row.backend}, {row.part}: {row.variant} is x{row.ratio:.2f} [{row.low:.2f}, {row.high:.2f}] as fast as "
        f"{row.baseline}, {row.rounds} rounds in turns"
    )


def _backbone(backend: Backend, clip: FloatArray, exemplars: FloatArray) -> Callable[[], object]:
    return lambda: backend.backbone(clip[None])


def _chain(backend: Backend, clip: FloatArray, exemplars: FloatArray) -> Callable[[], object]:
    return lambda: backend.regressor(encode_clip(backend, clip).tokens[None], exemplars)


def in_turns(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    at_least_s: float = 0.0,
    warm_up_s: float = 0.0,
    every: Mapping[str, int] | None = None,
) -> dict[str, FloatArray]:
    """Milliseconds of each call in each round; the order turns round, so that none always follows the same one.

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


def _row(backend: Backend, part: str, variant: str, baseline: str, times_ms: Mapping[str, FloatArray]) -> SpeedRow:
    ratios = times_ms[baseline] / times_ms[variant]
    low, ratio, high = (float(value) for value in np.percentile(ratios, (25, 50, 75)))
    medians = float(np.median(times_ms[variant])), float(np.median(times_ms[baseline]))
    return SpeedRow(backend.name, backend.provider, part, variant, baseline, *medians, ratio, low, high, len(ratios))
