"""Shortcuts: scores guessed from traces of a dive that no judge looks at, by ridge regression.

Where one of them comes near a network, the data set can be scored without watching the dive. Torch-free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from mcore.data.leaks import file_sizes
from mcore.data.manifest import DiveRecord
from mcore.data.redrawn import ShownDive
from mcore.evaluation.baselines import dive_number_means

Array = NDArray[np.float64]
Pair = tuple[DiveRecord, ShownDive]

_THUMBNAILS, _SIDE = 5, 8
"""Thumbnails after the entry, and their side in pixels."""
_WHITER = 40
"""Grey levels by which a pixel of the splash is whiter than the water that is left."""
_PENALTIES = np.logspace(-4, 4, 33)
"""Candidates for the ridge penalty, relative to the mean variance of a feature."""


def thumbnails(record: DiveRecord, dive: ShownDive) -> Array:
    """Five 8 x 8 pictures, evenly spaced from the entry to the clip's end."""
    rows = np.linspace(dive.transitions[1], len(dive.frames) - 1, _THUMBNAILS).round().astype(int)
    small = dive.frames[rows].astype(np.float64)
    for axis in (1, 2):
        starts = np.arange(_SIDE) * small.shape[axis] // _SIDE
        # reduceat gives one element, not none, where a picture is narrower than a thumbnail.
        counts = np.maximum(np.diff([*starts, small.shape[axis]]), 1).reshape(-1, *[1] * (3 - axis))
        small = np.add.reduceat(small, starts, axis) / counts
    return np.asarray(small.ravel())


def splash_pixels(record: DiveRecord, dive: ShownDive) -> Array:
    """Share of pixels after the entry that are whiter than at the clip's end: at most, and on average."""
    # The darkest channel: water is blue, and a splash lifts all three. What is always white is no splash.
    darkest = dive.frames[dive.transitions[1] :].min(-1).astype(np.int16)  # (frames, c, c)
    whiter = (darkest - darkest[-1] > _WHITER).mean((1, 2))
    return np.array([whiter.max(), whiter.mean()])


def file_size(record: DiveRecord, dive: ShownDive) -> Array:
    """Size of the video file."""
    return np.array([float(sum(file_sizes(record.path)))])


def lengths(record: DiveRecord, dive: ShownDive) -> Array:
    """Lengths of the stages in source frames; in sampled ones where the list does not say how long the clip is."""
    flight, entry, end = *dive.transitions, len(dive.frames)
    if record.num_frames is not None and record.transition_frames is not None:
        (flight, entry), end = record.transition_frames, record.num_frames
    return np.array([flight, entry - flight, end - entry], np.float64)


SHORTCUTS: dict[str, Callable[[DiveRecord, ShownDive], Array]] = {
    "five 8 x 8 thumbnails after the entry": thumbnails,
    "pixels of the splash": splash_pixels,
    "size of the video file": file_size,
    "lengths of the clip and its stages": lengths,
}
"""Features (F,) of a dive, by what they are."""


def shortcut_scores(dives: Iterable[Pair], training: Iterable[Pair]) -> dict[str, Array]:
    """Predict scores from each shortcut, learnt from training dives.

    Each predicts how far a dive is from the mean training score of its number, as a network with exemplars does.

    Args:
        dives: N dives with their pictures, each looked at once.
        training: those to learn from.

    Returns:
        By shortcut (N,) points; the mean of the dive number alone is the first.
    """
    (queries, ours), (known, theirs) = _features(dives), _features(training)
    means = dive_number_means(queries, known)
    apart = np.array([record.score for record in known]) - dive_number_means(known, known)
    found = {"mean training score of the dive number": means}
    return found | {name: means + ridge(theirs[name], apart, ours[name]) for name in SHORTCUTS}


def _features(pairs: Iterable[Pair]) -> tuple[list[DiveRecord], dict[str, Array]]:
    records, rows = [], []
    for record, dive in pairs:
        records.append(record)
        rows.append([features(record, dive) for features in SHORTCUTS.values()])
    return records, {name: np.stack(column) for name, column in zip(SHORTCUTS, zip(*rows, strict=True), strict=True)}


def ridge(known: Array, values: Array, wanted: Array) -> Array:
    """Ridge regression, its penalty chosen by generalised cross-validation on the known rows.

    Args:
        known: (N, F) features.
        values: (N,) what is to be predicted.
        wanted: (M, F) features of the rows to predict.

    Returns:
        (M,) predictions.
    """
    mean, spread = known.mean(0), known.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    x, y = (known - mean) / spread, values - values.mean()
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    projected, num_rows = u.T @ y, len(x)
    best, chosen = np.inf, np.zeros(x.shape[1])
    for penalty in _PENALTIES * num_rows:
        shrink = s**2 / (s**2 + penalty)
        residual = y - u @ (shrink * projected)
        error = float((residual**2).sum() / (num_rows - 1 - shrink.sum()) ** 2)
        if error < best:
            best, chosen = error, vt.T @ (s / (s**2 + penalty) * projected)
    return np.asarray(values.mean() + (wanted - mean) / spread @ chosen)
