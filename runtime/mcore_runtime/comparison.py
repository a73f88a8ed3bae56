"""The comparison of a dive with its exemplars: which ones, what each of them says, and how far they disagree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.diving import DiveNumber
from mcore_runtime.exemplars import ExemplarBank
from mcore_runtime.result import SPREAD_PERCENTILES, ExemplarComparison


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a dive is compared with."""

    number: DiveNumber | None
    """The dive's number; None: unknown."""
    bank: ExemplarBank
    """The chosen exemplars."""

    @classmethod
    def choose(
        cls, bank: ExemplarBank, dive_number: str | None, *, any_exemplar: bool = False, limit: int | None = None
    ) -> Comparison:
        """Find the exemplars for a dive number in any spelling; arguments as ``ExemplarBank.select``.

        Raises:
            DiveNumberError: not a dive number.
            UserError: the bank has no exemplar of it, and ``any_exemplar`` is not set.
        """
        number = None if dive_number is None else DiveNumber.parse(dive_number)
        text = None if number is None else number.text
        return cls(number, bank.select(text, any_exemplar=any_exemplar, limit=limit))

    @property
    def text(self) -> str | None:
        """The dive number as the rules spell it."""
        return None if self.number is None else self.number.text

    @property
    def same_dive_number(self) -> bool:
        """Whether the exemplars are of the dive's number."""
        return self.number is not None and bool((self.bank.dive_numbers == self.number.text).all())

    @property
    def difficulty(self) -> float | None:
        """Degree of difficulty, if the exemplars are of this number and agree on it.

        They disagree where the bank mixes heights: the same dive has another difficulty from another height.
        """
        values = self.bank.difficulties
        if not self.same_dive_number or np.isnan(values).any() or np.ptp(values) > 0:
            return None
        return float(values[0])

    def predict(self, delta: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the dive's score as each exemplar sees it (E,), points, from the differences ``delta`` (E,)."""
        return self.bank.scores + delta.astype(np.float64)

    def describe(self, delta: NDArray[np.float32]) -> tuple[ExemplarComparison, ...]:
        """Return each exemplar's opinion, the closest exemplar (smallest absolute delta) first."""
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


def spread(predicted: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Return the 10th and 90th percentile of the exemplars' predictions (E,), or None twice when E is 1."""
    if len(predicted) < 2:
        return None, None
    low, high = np.percentile(predicted, SPREAD_PERCENTILES)
    return float(low), float(high)
