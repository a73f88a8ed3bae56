"""Comparison of an artefact with PyTorch in float32: the same rows at the export and for ``mcore-bundle verify``.

Each graph alone gets PyTorch's inputs, so that a disagreement names the part that caused it; then the whole
chain scores dives against each other. A flipped transition is counted apart from rounding, because it moves a
score far more. Nothing here needs torch: expected values are arrays, computed just now or stored in the bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore import metrics
from mcore.config import ClipConfig, GraphDecoding
from mcore.video import normalise
from mcore_runtime.backends import Backend
from mcore_runtime.backends.streaming import StreamingBackbone
from mcore_runtime.bundle.records import ParityLimits, ParityRow
from mcore_runtime.scoring.encoding import EncodedClip, encode_clip
from mcore_runtime.scoring.streaming import encode_prefix, encode_suffix

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

EXEMPLAR_COUNTS = (1, 2, 10, 37)
"""Numbers of exemplars at which the regressor is compared; none is the number it was traced with."""
CHAIN = "whole chain"
IN_TWO_PARTS = "in two parts"
"""The whole chain once more, with the streaming backbone."""
VIDEO = "from the video"
"""The whole chain for the first clip, from the bundle's video on: decoding, conversion, resizing, score."""
MEASURES = {
    "features": "features, relative",
    "logits": "logits, relative",
    "flips": "flipped transitions, share",
    "ties": "flipped transitions between frames that nearly tie, share",
    "tokens": "tokens, relative",
    "delta": "delta and stage shares, points",
    "score_max": "largest score difference, points",
    "score_mean": "mean score difference, points",
    "score_any": "largest score difference with flipped transitions, points",
    "srcc": "rank correlation of scores",
    "decoded": "decoded frames that differ, share",
    "input": "values of the network's input that differ, share",
    "tie": "nearest tie of two frames for a transition, in logits",
}
"""Name of each figure in words."""
READING_MEASURES = ("decoded", "input")
"""Figures of reading a video, before the network."""
_NOT_A_NUMBER = 1e30
"""JSON knows no NaN: an output that is not a number is as wrong as can be."""

# Shapes: N clips, T frames, D features, P = 3K tokens, E exemplars, c pixels.


@dataclass(frozen=True, eq=False)
class ExpectedClip:
    """Values that PyTorch computes from one clip."""

    frames: NDArray[np.uint8]
    """(T, c, c, 3) RGB, cropped, not yet normalised: the input, at a quarter of its size."""
    features: FloatArray
    """(T, D) output of the backbone."""
    logits: FloatArray
    """(T, 2) output of the segmenter."""
    transitions: IntArray
    """(2,) first frame of the flight and of the entry."""
    tokens: FloatArray
    """(P, D) tokens of the stages."""


@dataclass(frozen=True, eq=False)
class Expected:
    """Values that PyTorch computes from clips, and from their comparison with each other."""

    clip_config: ClipConfig
    decoding: GraphDecoding
    """How logits became transitions."""
    clips: tuple[ExpectedClip, ...]
    """N clips, at least two."""
    scores: NDArray[np.float64]
    """(N,) true scores, points."""
    deltas: FloatArray
    """(N, N) score(row) - score(column), points."""
    mixed_deltas: tuple[FloatArray, ...]
    """For each of ``EXEMPLAR_COUNTS`` (E,): the first clip against E mixtures of all, see ``mixed_tokens``."""
    mixed_stage_deltas: tuple[FloatArray, ...]
    """The same by stage, (E, 3)."""
    video_frames: NDArray[np.uint64] | None = None
    """(N,) digests of the decoded frames of the bundle's video, which the first clip was read from; None: no video."""

    @property
    def tokens(self) -> FloatArray:
        """(N, P, D)."""
        return np.stack([clip.tokens for clip in self.clips])


def mixed_tokens(tokens: FloatArray, count: int) -> FloatArray:
    """Mix real tokens to as many different exemplars as wanted: (N, P, D) -> (count, P, D)."""
    weights = np.random.default_rng(1).random((count, len(tokens)), dtype=np.float32)
    weights /= weights.sum(1, keepdims=True)
    mixed: FloatArray = np.einsum("en,npd->epd", weights, tokens)
    return mixed


def compare(
    backend: Backend, expected: Expected, limits: ParityLimits, streaming: StreamingBackbone | None = None
) -> tuple[ParityRow, ...]:
    """Compare an artefact with PyTorch, part by part and as a whole.

    Args:
        backend: runs the artefact.
        expected: what PyTorch computed, from clips that were not used for tracing.
        limits: what is allowed.
        streaming: the artefact's streaming backbone, held to the same limits; None: it has none.

    Returns:
        One row for each comparison, passed or not.
    """
    encoded = [encode_clip(backend, normalise(clip.frames, expected.clip_config)) for clip in expected.clips]
    table = _Table(backend.name, len(expected.clips), limits)
    table.add("backbone", "features", _worst([_relative(g.features, e.features) for g, e in _pairs(encoded, expected)]))
    _segmenter_rows(table, backend, expected)
    _regressor_rows(table, backend, expected)
    _chain_rows(table, CHAIN, backend, expected, encoded)
    if streaming is not None:
        _streaming_rows(table, backend, streaming, expected)
    return tuple(table.rows)


def compare_video(
    backend: Backend,
    decoded: NDArray[np.uint64],
    frames: NDArray[np.uint8],
    expected: Expected,
    limits: ParityLimits,
) -> tuple[ParityRow, ...]:
    """Compare what was read from the bundle's video here with what was read at the export, and score it.

    Args:
        backend: runs the artefact.
        decoded: (N,) digests of the decoded frames, of any number.
        frames: (T, c, c, 3) RGB, sampled, resized and cropped.
        expected: what was read at the export, and what PyTorch computed from it.
        limits: what is allowed of the score.
    """
    assert expected.video_frames is not None  # the caller has looked
    table = _Table(backend.name, 1, limits)
    wanted, clip = expected.video_frames, expected.clips[0]
    count = min(len(wanted), len(decoded))
    off = max(len(wanted), len(decoded)) - int((wanted[:count] == decoded[:count]).sum())
    table.add(VIDEO, "decoded", off / len(wanted), f"{off} of {len(wanted)}")
    differ = frames != clip.frames
    most = int(np.abs(frames.astype(np.int16) - clip.frames).max())
    table.add(VIDEO, "input", float(differ.mean()), f"by at most {most} of 255 levels")
    encoded = encode_clip(backend, normalise(frames, expected.clip_config))
    delta = backend.regressor(encoded.tokens[None], expected.tokens)[0]
    deltas = np.concatenate([delta[None], expected.deltas[1:]])
    every = np.ones(len(deltas), bool)
    found, right = _scores(deltas, expected, every)[0], _scores(expected.deltas, expected, every)[0]
    table.add(VIDEO, "score_max", float(abs(found - right)), "1 clip")
    return tuple(table.rows)


def describe_row(row: ParityRow) -> str:
    """Return a row as one line of the command's output."""
    verdict = ("ok" if row.passed else "FAILED") if row.limit is not None else ""
    limit = "" if row.limit is None else f"({'least' if row.measure == 'srcc' else 'limit'} {row.limit:g})"
    figure = f"{row.figure:9.6f}" if row.measure == "srcc" else f"{row.figure:9.2g}"
    return f"{row.part:14}  {figure} {limit:14} {verdict:6}  {row.case}"


def describe_failures(rows: Sequence[ParityRow]) -> str:
    """Name each comparison that failed, with figure and limit; empty if none did."""
    failed = [row for row in rows if not row.passed]
    return "; ".join(
        f"{row.part} on {row.backend}: {row.case} is {row.figure:.3g}, "
        f"{'at least' if row.measure == 'srcc' else 'allowed'} {row.limit:.3g}"
        for row in failed
    )


class _Table:
    """Collector of parity rows, which knows the limit of each figure."""

    def __init__(self, backend: str, num_clips: int, limits: ParityLimits) -> None:
        self.rows: list[ParityRow] = []
        self.limits = limits
        self._backend, self._num_clips = backend, num_clips
        self._limits: dict[str, float] = {
            **dict.fromkeys(("features", "logits", "tokens"), limits.relative),
            **dict.fromkeys(("delta", "score_max"), limits.points),
            **dict.fromkeys(READING_MEASURES, 0.0),  # the same bytes on every processor
            "flips": limits.flips,
            "srcc": limits.srcc,
        }

    def add(self, part: str, measure: str, figure: float, of: str | None = None) -> None:
        """Append a row; ``of`` says what was compared, where that is not all the clips."""
        finite, limit = bool(np.isfinite(figure)), self._limits.get(measure)
        within = limit is None or (finite and (figure >= limit if measure == "srcc" else figure <= limit))
        case = f"{MEASURES[measure]}, {of or f'{self._num_clips} clips'}"
        value = float(figure) if finite else _NOT_A_NUMBER * (-1 if measure == "srcc" else 1)
        self.rows.append(ParityRow(self._backend, part, measure, case, value, limit, within))


class _Flips:
    """Transitions that were decoded to another frame, counted apart where PyTorch hardly preferred its own."""

    def __init__(self, tie: float, decoding: GraphDecoding) -> None:
        self._tie, self._decoding = tie, decoding
        self._clear, self._tied, self._total = 0, 0, 0

    def add(self, found: IntArray, clip: ExpectedClip) -> None:
        """Count one clip's two transitions."""
        for channel, (got, wanted) in enumerate(zip(found, clip.transitions, strict=True)):
            searched = _searched(clip.logits, channel, self._decoding)
            self._total += 1
            if got == wanted:
                continue
            # A frame that PyTorch does not search has no logit to compare, however high, and an entry before the flight
            # is none: they are never a tie.
            gap = abs(searched.get(int(wanted), np.inf) - searched.get(int(got), -np.inf))
            tied = found[0] < found[1] and gap <= self._tie * float(np.abs(clip.logits[:, channel]).max())
            self._tied += tied
            self._clear += not tied

    def report(self, table: _Table, part: str) -> None:
        """Add a row for clear flips, and one for ties where there are any."""
        table.add(part, "flips", self._clear / self._total, f"{self._clear} of {self._total}")
        if self._tied:
            table.add(part, "ties", self._tied / self._total, f"{self._tied} of {self._total}")


def _segmenter_rows(table: _Table, backend: Backend, expected: Expected) -> None:
    """Compare logits, decoded transitions and pooled tokens, from PyTorch's features."""
    logits_off, tokens_off, flips = [], [0.0], _Flips(table.limits.tie, expected.decoding)
    for clip in expected.clips:
        logits, transitions, tokens = backend.segmenter(clip.features[None])
        logits_off.append(_relative(logits[0], clip.logits))
        flips.add(transitions[0], clip)
        if np.array_equal(transitions[0], clip.transitions):  # tokens of other stages are not comparable
            tokens_off.append(_relative(tokens[0], clip.tokens))
    table.add("segmenter", "logits", _worst(logits_off))
    flips.report(table, "segmenter")
    table.add("segmenter", "tokens", _worst(tokens_off))


def _regressor_rows(table: _Table, backend: Backend, expected: Expected) -> None:
    """Compare score differences and their shares by stage, from PyTorch's tokens, at several numbers of exemplars."""
    tokens = expected.tokens
    for count, wanted, wanted_shares in zip(
        EXEMPLAR_COUNTS, expected.mixed_deltas, expected.mixed_stage_deltas, strict=True
    ):
        delta, shares = backend.regressor(tokens[:1], mixed_tokens(tokens, count))
        worst = _worst([_absolute(delta, wanted), _absolute(shares, wanted_shares)])
        table.add("regressor", "delta", worst, f"E = {count}")


def _streaming_rows(table: _Table, backend: Backend, streaming: StreamingBackbone, expected: Expected) -> None:
    """Compare features and scores that come from the streaming backbone."""
    encoded = []
    for clip in expected.clips:
        prefix = encode_prefix(streaming, clip.frames[: streaming.prefix_frames], expected.clip_config)
        encoded.append(encode_suffix(backend, streaming, prefix, clip.frames, expected.clip_config))
    off = _worst([_relative(got.features, clip.features) for got, clip in _pairs(encoded, expected)])
    table.add(IN_TWO_PARTS, "features", off)
    _chain_rows(table, IN_TWO_PARTS, backend, expected, encoded)


def _chain_rows(table: _Table, part: str, backend: Backend, expected: Expected, encoded: Sequence[EncodedClip]) -> None:
    """Compare what a user would see: each clip scored against all others, exemplar tokens from the graphs too."""
    tokens = np.stack([got.tokens for got in encoded])  # (N, P, D)
    deltas = np.stack([backend.regressor(tokens[i : i + 1], tokens)[0] for i in range(len(tokens))])  # (N, N)
    flips = _Flips(table.limits.tie, expected.decoding)
    for got, clip in _pairs(encoded, expected):
        flips.add(got.transitions, clip)
    agree = np.array([np.array_equal(got.transitions, clip.transitions) for got, clip in _pairs(encoded, expected)])
    drift = np.abs(_scores(deltas, expected, agree) - _scores(expected.deltas, expected, agree))[agree]
    every = np.ones_like(agree)
    scores, expected_scores = _scores(deltas, expected, every), _scores(expected.deltas, expected, every)
    flips.report(table, part)
    table.add(part, "tie", min(_nearest_tie(clip.logits, expected.decoding) for clip in expected.clips))
    of = f"{int(agree.sum())} clips against each other"
    table.add(part, "score_max", float(drift.max()) if agree.any() else np.nan, of)
    table.add(part, "score_mean", float(drift.mean()) if agree.any() else np.nan, of)
    if not agree.all():
        off = float(np.abs(scores - expected_scores).max())
        table.add(part, "score_any", off)
    if len(agree) > 2:
        table.add(part, "srcc", _rank_correlation(scores, expected_scores))


def _scores(deltas: FloatArray, expected: Expected, exemplars: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Score each clip from the others, as the runtime does: (N, N) differences -> (N,) points, NaN without others.

    Only those marked in ``exemplars`` (N,) are asked.
    """
    predictions = expected.scores + deltas.astype(np.float64)  # (N, N): score of the row's dive by the column's
    asked = exemplars & ~np.eye(len(predictions), dtype=bool)
    with np.errstate(invalid="ignore"):
        predicted: NDArray[np.float64] = np.where(asked, predictions, 0).sum(1) / asked.sum(1)
    return predicted


def _rank_correlation(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Spearman's correlation; of scores that have none, being constant or not numbers: whether they are the same."""
    try:
        return metrics.srcc(found, expected)
    except metrics.MetricError:
        return float(np.array_equal(found, expected))


def _searched(logits: FloatArray, channel: int, decoding: GraphDecoding) -> dict[int, float]:
    """What speaks for each frame that one transition may be decoded to, from logits (T, 2).

    Published: its logit. Ordered: the sum of its logit and the best that the other transition can have then.
    """
    if decoding == "ordered":
        flight, entry = logits[1:-1, 0], logits[2:, 1]  # (T-2,): frames 1 to T-2, and 2 to T-1
        if channel == 0:
            best_entry = np.maximum.accumulate(entry[::-1])[::-1]
            return dict(enumerate((flight + best_entry).tolist(), start=1))
        return dict(enumerate((np.maximum.accumulate(flight) + entry).tolist(), start=2))
    half = len(logits) // 2
    if channel == 1:
        return dict(zip(range(half, len(logits)), logits[half:, 1].tolist(), strict=True))
    values = logits[:half, 0].tolist()
    return {1: max(values[:2])} | dict(zip(range(2, half), values[2:], strict=True))  # frame 0 counts as 1


def _nearest_tie(logits: FloatArray, decoding: GraphDecoding) -> float:
    """Return how close the second-best frame comes to the best, for either transition: (T, 2) -> logits."""
    gaps = []
    for channel in (0, 1):
        values = sorted(_searched(logits, channel, decoding).values())
        gaps += [values[-1] - values[-2]] if len(values) > 1 else []  # of 4 frames, flight can begin at one only
    return min(gaps)


def _pairs(encoded: Sequence[EncodedClip], expected: Expected) -> list[tuple[EncodedClip, ExpectedClip]]:
    return list(zip(encoded, expected.clips, strict=True))


def _worst(values: Sequence[float]) -> float:
    """Largest of values; NaN if any is NaN, which Python's own ``max`` would lose."""
    return float(np.max(values))


def _relative(actual: FloatArray, expected: FloatArray) -> float:
    return _absolute(actual, expected) / max(float(np.abs(expected).max()), 1e-12)


def _absolute(actual: FloatArray, expected: FloatArray) -> float:
    return float(np.abs(actual.astype(np.float64) - expected).max())
