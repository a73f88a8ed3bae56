"""Scores of labelled dives by a bundle's graphs, against exemplars of their number and against all others.

Nothing here needs torch.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from mcore.common.errors import ClipError
from mcore.common.exemplar_scores import nearest, predict_by_exemplars
from mcore.config import ClipConfig
from mcore.data.manifest import DiveRecord
from mcore.diving.judging import possible_points
from mcore.diving.label_difficulty import fitting_difficulty
from mcore.video import normalise, sample_clip
from mcore_export.log import Log
from mcore_runtime.backends import Backend, BackendError
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.scoring.encoding import encode_clip
from mcore_runtime.scoring.likeness import measure


@dataclass
class Scores:
    """Predicted and true scores of the dives seen so far, points, and their predicted transitions."""

    predicted: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    difficulties: list[float] = field(default_factory=list)
    """With which the true scores were made; nan: unknown."""
    transitions: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, predicted: float, record: DiveRecord, transitions: tuple[int, ...]) -> None:
        """Add one dive."""
        self.predicted.append(predicted)
        self.true.append(record.score)
        self.difficulties.append(fitting_difficulty(record.dive_number, record.difficulty, record.score))
        self.transitions.append(transitions)


def possible_scores(scores: Scores) -> NDArray[np.float64]:
    """Predicted scores (N,) as the runtime gives them: within what a dive of its difficulty can get."""
    known = zip(scores.predicted, scores.difficulties, strict=True)
    return np.array([possible_points(score, difficulty if difficulty > 0 else None) for score, difficulty in known])


Name = TypeVar("Name", bound=str)


@dataclass(frozen=True, eq=False)
class Found:
    """A dive against those of some exemplars that look most like it."""

    exemplars: NDArray[np.int64]
    """(E,) positions in the bank."""
    predicted: NDArray[np.float64]
    """(E,) its score as each of them sees it, points."""
    stage_shares: NDArray[np.float64]
    """(3,) points that take-off, flight and entry add, against an average exemplar of their number."""


@dataclass(frozen=True, eq=False)
class Comparer:
    """Compares encoded dives with a bank's exemplars, as the runtime does."""

    backend: Backend
    bank: ExemplarBank
    num_compared: int | None
    """Exemplars that each dive is compared with; None: all."""

    def compare(self, tokens: NDArray[np.float32], possible: NDArray[np.bool_]) -> Found | None:
        """Compare a dive's tokens (3K, D) with the nearest of the possible exemplars (N,); None: there are none."""
        positions = np.flatnonzero(possible)
        if not len(positions):
            return None
        positions = positions[nearest(tokens, self.bank.tokens[positions], self.num_compared)]
        delta, stage_deltas = self.backend.regressor(tokens[None], self.bank.tokens[positions])  # (E,), (E, 3)
        if not np.isfinite(delta).all():
            raise BackendError(f"{self.backend.name}: a score is not a number")
        predicted = predict_by_exemplars(self.bank.scores[positions], delta)
        return Found(positions, predicted, (stage_deltas + self.bank.stage_shares[positions]).mean(axis=0))


@dataclass(frozen=True, eq=False)
class ComparedDive:
    """One dive, encoded, and compared with exemplars of its number."""

    record: DiveRecord
    features: NDArray[np.float32]
    """(T, D)."""
    tokens: NDArray[np.float32]
    """(3K, D)."""
    transitions: tuple[int, ...]
    same_number: Found | None
    """None: there are no exemplars of its number."""


@dataclass(frozen=True)
class SameAndOtherNumbers:
    """Scores of the same dives against two sets of exemplars, in one precision."""

    same_number: Scores = field(default_factory=Scores)
    """Against exemplars of the dive's number, where there are any."""
    other_numbers: Scores = field(default_factory=Scores)
    """Against exemplars of other numbers."""
    measures: list[Mapping[str, float]] = field(default_factory=list)
    """Measures of each dive, by which the runtime says whether others are like it."""
    dives: list[ComparedDive] = field(default_factory=list)
    """The same dives one by one."""


def score_same_and_other_numbers(
    comparers: Mapping[Name, Comparer],
    clip_config: ClipConfig,
    records: Sequence[DiveRecord],
    progress_text: str,
    log: Log,
) -> dict[Name, SameAndOtherNumbers]:
    """Score each dive as the runtime does, once with its number known and once as if no exemplar had it.

    Args:
        comparers: by name, such as that of their precision; their backends are open.
        clip_config: the network's input contract.
        records: labelled dives that are not exemplars.
        progress_text: text of the progress bar.
        log: gets a line for each dive that cannot be read and is left out.

    Raises:
        BackendError: a backend computed something that is not a number.
    """
    scores = {name: SameAndOtherNumbers() for name in comparers}
    shown = track(records, progress_text, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    for record in shown:
        try:
            clip = sample_clip(record.path, clip_config, start_s=record.start_s, end_s=record.end_s, central=True)
        except ClipError as error:
            log(f"left out: {error}")
            continue
        pixels = normalise(clip.frames, clip_config)  # (3, T, c, c)
        for name, comparer in comparers.items():
            bank, into = comparer.bank, scores[name]
            encoded = encode_clip(comparer.backend, pixels)
            into.measures.append(
                measure(clip.frames, encoded.logits, encoded.transitions, encoded.tokens, bank, clip.pts_seconds)
            )
            is_same = bank.dive_numbers == record.dive_number  # (N,)
            same, other = (comparer.compare(encoded.tokens, possible) for possible in (is_same, ~is_same))
            transitions = tuple(encoded.transitions.tolist())
            into.dives.append(ComparedDive(record, encoded.features, encoded.tokens, transitions, same))
            for found, part in ((same, into.same_number), (other, into.other_numbers)):
                if found is not None:
                    part.add(float(found.predicted.mean()), record, transitions)
    return scores
