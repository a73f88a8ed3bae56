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
from mcore.config import STAGES, ClipConfig
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
class ComparedDive:
    """One dive against every exemplar that it was compared with."""

    record: DiveRecord
    features: NDArray[np.float32]
    """(T, D)."""
    predicted: NDArray[np.float64]
    """(E,) its score as each exemplar of the bank sees it, points; nan: it was not compared with that one."""
    stage_deltas: NDArray[np.float64]
    """(E, 3) points that take-off, flight and entry add to the difference from each exemplar; nan as above."""
    transitions: tuple[int, ...]


@dataclass(frozen=True)
class SameAndOtherNumbers:
    """Scores of the same dives against two sets of exemplars, in one precision."""

    same_number: Scores = field(default_factory=Scores)
    """Against exemplars of the dive's number, where there are any."""
    other_numbers: Scores = field(default_factory=Scores)
    """Against exemplars of all other numbers."""
    measures: list[Mapping[str, float]] = field(default_factory=list)
    """Measures of each dive, by which the runtime says whether others are like it."""
    dives: list[ComparedDive] = field(default_factory=list)
    """The same dives one by one."""


def score_same_and_other_numbers(
    backends: Mapping[Name, Backend],
    banks: Mapping[Name, ExemplarBank],
    clip_config: ClipConfig,
    records: Sequence[DiveRecord],
    progress_text: str,
    log: Log,
    *,
    others_too: bool = True,
) -> dict[Name, SameAndOtherNumbers]:
    """Score each dive as the runtime does, once with its number known and once as if no exemplar had it.

    Args:
        backends: by name, such as that of their precision; open.
        banks: their exemplars.
        clip_config: the network's input contract.
        records: labelled dives that are not exemplars.
        progress_text: text of the progress bar.
        log: gets a line for each dive that cannot be read and is left out.
        others_too: also the second way, in which a dive is compared with all exemplars but those of its number.

    Raises:
        BackendError: a backend computed something that is not a number.
    """
    scores = {name: SameAndOtherNumbers() for name in backends}
    shown = track(records, progress_text, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    for record in shown:
        try:
            clip = sample_clip(record.path, clip_config, start_s=record.start_s, end_s=record.end_s, central=True)
        except ClipError as error:
            log(f"left out: {error}")
            continue
        pixels = normalise(clip.frames, clip_config)  # (3, T, c, c)
        for name, backend in backends.items():
            bank = banks[name]
            is_same = bank.dive_numbers == record.dive_number  # (E,)
            both = [(is_same, scores[name].same_number)]
            if others_too:
                both.append((~is_same, scores[name].other_numbers))
            compared = np.any([chosen for chosen, _ in both], axis=0)
            if not compared.any():
                continue
            encoded = encode_clip(backend, pixels)
            scores[name].measures.append(
                measure(clip.frames, encoded.logits, encoded.transitions, encoded.tokens, bank, clip.pts_seconds)
            )
            predicted = np.full(len(bank), np.nan)
            delta, by_stage = backend.regressor(encoded.tokens[None], bank.tokens[compared])  # (E,), (E, 3)
            if not np.isfinite(delta).all():
                raise BackendError(f"{backend.name}, {name}: the scores of {record.path} are not numbers")
            predicted[compared] = bank.scores[compared] + delta
            stage_deltas = np.full((len(bank), len(STAGES)), np.nan)
            stage_deltas[compared] = by_stage
            transitions = tuple(encoded.transitions.tolist())
            scores[name].dives.append(ComparedDive(record, encoded.features, predicted, stage_deltas, transitions))
            for chosen, part in both:
                if chosen.any():
                    part.add(float(predicted[chosen].mean()), record, transitions)
    return scores
