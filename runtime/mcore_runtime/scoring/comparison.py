"""Comparison of a dive with its exemplars: which ones, what each predicts, and how far they disagree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcore.common.conformal import ConformalInterval
from mcore.common.exemplar_scores import exemplar_range, predict_by_exemplars
from mcore.diving import DiveNumber
from mcore.diving.judging import possible_points
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.records import ConformalIntervals
from mcore_runtime.scoring.result import ExemplarComparison


class Interval(NamedTuple):
    """Three fields of a ``DiveScore``."""

    low: float | None
    high: float | None
    level: float | None


NO_INTERVAL = Interval(None, None, None)


def _agreed(difficulties: NDArray[np.float64]) -> float | None:
    if np.isnan(difficulties).any() or np.ptp(difficulties) > 0:
        return None
    return float(difficulties[0]) if difficulties[0] > 0 else None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Exemplars that a dive is compared with."""

    number: DiveNumber | None
    """The dive's number; None: unknown."""
    bank: ExemplarBank
    """The chosen exemplars."""
    conformal: ConformalInterval | None = None
    """Conformal interval of scores from them; None: it was not measured for just these."""
    difficulty: float | None = None
    """Degree of difficulty of the dive, where it is known."""
    possible: tuple[str, ...] = ()
    """Dive numbers of the exemplars, where they are those that a dive of unknown number looks like."""

    @classmethod
    def choose(
        cls,
        bank: ExemplarBank,
        dive_number: str | None,
        *,
        any_exemplar: bool = False,
        conformal: ConformalIntervals | None = None,
        difficulty: float | None = None,
    ) -> Comparison:
        """Find the possible exemplars for a dive number in any spelling; arguments as ``ExemplarBank.select``.

        Without a difficulty it is that of the exemplars, if they are of this number and agree on it. They disagree
        where the bank mixes heights: the same dive has another difficulty from another height.

        Raises:
            DiveNumberError: not a dive number.
            UserError: the bank has no exemplar of it, and ``any_exemplar`` is not set.
        """
        number = None if dive_number is None else DiveNumber.parse(dive_number)
        chosen = bank.select(None if number is None else number.text, any_exemplar=any_exemplar)
        comparison = cls(number, chosen)
        is_same = comparison.same_dive_number
        if difficulty is None and is_same:
            difficulty = _agreed(chosen.difficulties)
        measured = None if conformal is None else conformal.same_number if is_same else conformal.other_numbers
        return replace(comparison, difficulty=difficulty, conformal=measured)

    def among(
        self, bank: ExemplarBank, possible: tuple[str, ...], *, conformal: ConformalIntervals | None = None
    ) -> Comparison:
        """Return what a dive of unknown number is compared with, once it is known what it looks like.

        Args:
            bank: all exemplars.
            possible: dive numbers, the most probable first.
            conformal: as for ``choose``.

        Returns:
            The comparison with exemplars of these; this one where the number is known, or there are none.
        """
        there = tuple(number for number in possible if (bank.dive_numbers == number).any())
        if self.number is not None or not there:
            return self
        measured = None if conformal is None else conformal.possible_numbers
        return replace(self, bank=bank.of_numbers(there), conformal=measured, possible=there)

    def nearest(self, tokens: NDArray[np.float32], count: int | None, measured: int | None) -> Comparison:
        """Return the comparison with those exemplars that look most like a dive.

        Args:
            tokens: (3K, D) of the dive.
            count: how many; None: all.
            measured: with how many the interval was measured; it does not hold for another number of them.
        """
        bank = self.bank.nearest(tokens, count)
        holds = len(bank) == min(len(self.bank), measured or len(self.bank))
        return replace(self, bank=bank, conformal=self.conformal if holds else None)

    @property
    def text(self) -> str | None:
        """The dive number as the rules spell it."""
        return None if self.number is None else self.number.text

    @property
    def same_dive_number(self) -> bool:
        """Return whether the exemplars are of the dive's number."""
        return self.number is not None and bool((self.bank.dive_numbers == self.number.text).all())

    def predict(self, delta: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the dive's score as each exemplar sees it (E,), points, from the differences ``delta`` (E,)."""
        return predict_by_exemplars(self.bank.scores, delta)

    def stage_shares(self, stage_deltas: NDArray[np.float32]) -> tuple[float, float, float]:
        """Return what each stage adds to the dive, against an average exemplar of its number, points.

        Args:
            stage_deltas: (E, 3) what it adds against each exemplar, to which the exemplar's own shares come.
        """
        take_off, flight, entry = (stage_deltas.astype(np.float64) + self.bank.stage_shares).mean(axis=0).tolist()
        return take_off, flight, entry

    def score(self, predicted: NDArray[np.float64]) -> float:
        """Return the dive's score, points: the mean of the exemplars' predictions (E,), within what a dive can get."""
        return possible_points(float(predicted.mean()), self.difficulty)

    def interval(self, predicted: NDArray[np.float64]) -> Interval:
        """Return the interval around the score from the exemplars' predictions (E,), within what a dive can get."""
        if self.conformal is not None:
            score, half_width = self.score(predicted), self.conformal.half_width(self.difficulty)
            return self._interval(score - half_width, score + half_width, self.conformal.level)
        low_high = exemplar_range(predicted)
        return NO_INTERVAL if low_high is None else self._interval(*low_high, None)

    def _interval(self, low: float, high: float, level: float | None) -> Interval:
        return Interval(possible_points(low, self.difficulty), possible_points(high, self.difficulty), level)

    def describe(self, delta: NDArray[np.float32]) -> tuple[ExemplarComparison, ...]:
        """Return each exemplar's prediction, the closest exemplar (smallest absolute delta) first."""
        predicted = self.predict(delta)
        return tuple(
            ExemplarComparison(
                name=str(self.bank.names[i]),
                dive_number=str(self.bank.dive_numbers[i]),
                score=float(self.bank.scores[i]),
                delta=float(delta[i]),
                predicted_score=float(predicted[i]),
            )
            for i in np.argsort(np.abs(delta), kind="stable")
        )
