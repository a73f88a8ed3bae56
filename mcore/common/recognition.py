"""Which dive it was: a linear classifier of dive numbers, and conformal sets of possible numbers. Torch-free.

Training dives say what dives of each number look like, and how they spread around that: linear discriminant analysis
with a shrunk covariance (Friedman, "Regularized discriminant analysis", JASA 1989). Dives that the network has not
learned from then say how much to believe it. Of each of them the probability of its own number is known; the p-value of
a number for another dive is the share of them, and of that dive, that give theirs no more. If a new dive comes from
where those came from, the p-value of its own number is at most p with a probability of at most p, however good the
classifier is (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, section 4.2). One temperature
is fitted to the same dives, so that this holds nearly: with few dives a little less. So the possible
numbers, whose p-value is above 1 in 10, hold the right one 9 times in 10; and an announced number whose p-value is at
most 1 in 100 is doubted wrongly at most once in 100 dives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.9
"""Share of dives whose possible numbers are to hold the right number."""
DOUBTED = 0.01
"""Share of rightly announced dives that may be doubted: one in a hundred. Takes 99 dives."""
POINTS = (5, 12, 5)
"""Moments of take-off, flight and entry that are looked at: five of a flight, as the stage tokens have, miss turns."""
SHRINKAGE = 0.1
"""Weight of a sphere in the covariance: 0 trusts the training dives alone, 1 takes the nearest mean."""
_TEMPERATURES = np.geomspace(0.25, 64.0, 65)
"""Divisors of the logarithms of probabilities that are tried."""
_ROUNDING = 1e-9
_MOST_LISTED = 3
"""Most possible numbers that are said: who wonders among more knows nothing."""


def describe(features: NDArray[np.float32], transitions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return what a dive number is told from: the features at moments evenly over each stage.

    Args:
        features: (T, D) of each sampled frame.
        transitions: (2,) first frame of the flight and of the entry.

    Returns:
        (22 D,); see ``num_measures``.
    """
    edges = (0, *transitions.tolist(), len(features))
    moments = [
        np.linspace(begin, max(begin, end - 1), n) for (begin, end), n in zip(pairwise(edges), POINTS, strict=True)
    ]
    at = np.concatenate(moments)  # (22,) frames, between two of which is interpolated
    before = np.floor(at).astype(np.int64)
    share = (at - before).astype(np.float32)[:, None]
    after = np.minimum(before + 1, len(features) - 1)
    found: NDArray[np.float32] = (1 - share) * features[before] + share * features[after]
    return found.reshape(-1)


def num_measures(feature_dim: int) -> int:
    """Length of what ``describe`` returns."""
    return sum(POINTS) * feature_dim


@dataclass(frozen=True)
class PossibleNumber:
    """A dive number that a clip may show."""

    dive_number: str
    probability: float
    """As the classifier sees it, calibrated on dives that the network has not learned from."""


@dataclass(frozen=True)
class Recognition:
    """Which dive a clip shows."""

    possible: tuple[PossibleNumber, ...]
    """Holds the right number in a share ``level`` of dives like the validation dives, at least; the most probable
    first, and never empty."""
    level: float
    announced_p_value: float | None = None
    """Share of dives that look no more like their own number than this one like the announced number; None: no number
    was announced, or no validation dive has it."""
    is_doubted: bool = False
    """Whether it does not look like the dive that was announced: its ``announced_p_value`` is at most ``doubted``."""
    doubted: float = DOUBTED
    """Share of rightly announced dives that are doubted, at most."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """The possible dive numbers, without probabilities."""
        return tuple(each.dive_number for each in self.possible)


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class Recogniser:
    """Classifier of C dive numbers from F measures of a clip."""

    numbers: NDArray[np.str_]
    """(C,) dive numbers, sorted."""
    weights: NDArray[np.float32]
    """(F, C)."""
    biases: NDArray[np.float64]
    """(C,)."""
    temperature: float = 1.0
    """Divides the logarithms: above 1 where training dives make the classifier surer than it should be."""
    own_probabilities: NDArray[np.float64] | None = None
    """(N,) of dives that the network has not learned from, the probability of their own number, 0 where that is none of
    ``numbers``; None: not calibrated."""
    is_calibrated: NDArray[np.bool_] | None = None
    """(C,) whether one of these dives has the number: others are never doubted. None as before."""

    def __post_init__(self) -> None:
        count = len(self.numbers)
        if self.weights.shape[1:] != (count,) or self.biases.shape != (count,) or not count:
            raise ValueError(
                f"{count} dive numbers with weights {self.weights.shape} and biases {self.biases.shape}; expected "
                f"(F, {count}) and ({count},), and one number at least"
            )
        own = np.zeros(0) if self.own_probabilities is None else self.own_probabilities
        is_finite = np.isfinite(self.weights).all() and np.isfinite(self.biases).all() and np.isfinite(own).all()
        if not is_finite or not 0 < self.temperature < np.inf:
            raise ValueError("a weight, bias, probability or temperature is not a finite number")

    def probabilities(self, measures: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each number (..., C) from measures (..., F)."""
        return _softmax(self._logits(measures) / self.temperature)

    def recognise(self, measures: NDArray[np.float32], announced: str | None = None) -> Recognition:
        """Find the possible numbers of a clip from its measures (F,), and compare them with an announced number.

        Raises:
            ValueError: the recogniser is not calibrated.
        """
        return self.judge(self.probabilities(measures), announced)

    def judge(self, probabilities: NDArray[np.float64], announced: str | None = None) -> Recognition:
        """The same from the probabilities (C,) of one clip."""
        p_values = self.p_values(probabilities)  # (C,)
        order = np.argsort(-probabilities, kind="stable")
        # No number at all would say nothing; one more can only hold the right one more often.
        held = [index for index in order if p_values[index] > 1 - LEVEL + _ROUNDING] or [order[0]]
        seen = np.zeros(len(self.numbers), bool) if self.is_calibrated is None else self.is_calibrated
        # Of a number without dives that calibrated it, nothing says what would be unusual.
        at = next((i for i in np.flatnonzero(seen).tolist() if str(self.numbers[i]) == announced), None)
        p_value = None if at is None else float(p_values[at])
        possible = tuple(PossibleNumber(str(self.numbers[index]), float(probabilities[index])) for index in held)
        is_doubted = p_value is not None and p_value <= self.doubted and at not in held
        return Recognition(possible, LEVEL, p_value, is_doubted, self.doubted)

    def p_values(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """P-value of each number, of the same shape as their probabilities."""
        if self.own_probabilities is None:
            raise ValueError("the recogniser is not calibrated")
        own = np.sort(self.own_probabilities)
        return (1 + np.searchsorted(own, probabilities + _ROUNDING, side="right")) / (1 + len(own))

    @property
    def doubted(self) -> float:
        """Share of rightly announced dives that are doubted at most: ``DOUBTED``, or what so few dives can promise."""
        return max(DOUBTED, 1 / (self.num_dives + 1))

    @property
    def num_dives(self) -> int:
        """Dives that calibrated it, N."""
        return 0 if self.own_probabilities is None else len(self.own_probabilities)

    def without(self, dive: int) -> Recogniser:
        """Return it as if it had not been calibrated on the dive of this place, which may be judged so itself."""
        assert self.own_probabilities is not None
        return replace(self, own_probabilities=np.delete(self.own_probabilities, dive))

    def calibrated(self, measures: NDArray[np.float32], numbers: Sequence[str]) -> Recogniser:
        """Return it with the temperature and the probabilities of dives that the network has not learned from.

        Args:
            measures: (N, F).
            numbers: N right numbers.
        """
        logits, right = self._logits(measures), np.array(numbers)[:, None] == self.numbers  # (N, C) both
        known = right.any(axis=1)
        temperature = 1.0
        if known.any():
            losses = [
                -np.log(np.maximum(_softmax(logits[known] / each)[right[known]], 1e-300)).mean()
                for each in _TEMPERATURES
            ]
            temperature = float(_TEMPERATURES[int(np.argmin(losses))])
        own = (_softmax(logits / temperature) * right).sum(axis=1)
        return replace(self, temperature=temperature, own_probabilities=own, is_calibrated=right.any(axis=0))

    def _logits(self, measures: NDArray[np.float32]) -> NDArray[np.float64]:
        return measures.astype(np.float64) @ self.weights.astype(np.float64) + self.biases


def fit_recogniser(measures: NDArray[np.float32], numbers: Sequence[str]) -> Recogniser | None:
    """Fit a classifier; None: there are fewer than two numbers, or as many dives.

    Args:
        measures: (N, F) of training dives.
        numbers: N dive numbers.
    """
    classes, of = np.unique(np.array(numbers), return_inverse=True)
    if not 1 < len(classes) < len(of):
        return None
    x = measures.astype(np.float64)
    counts = np.bincount(of)
    means = np.stack([x[of == index].mean(axis=0) for index in range(len(classes))])  # (C, F)
    within = x - means[of]
    freedom = len(x) - len(classes)
    sphere = max(float(np.square(within).sum()) / freedom / x.shape[1], 1e-12)
    # The covariance is s I + a W'W of deviations W (N, F). Its inverse takes a matrix (N, N) only, by Woodbury's
    # identity: a clip has more measures than there are dives.
    s, a = SHRINKAGE * sphere, (1 - SHRINKAGE) / freedom
    gram = a * within @ within.T  # (N, N)
    gram[np.diag_indices_from(gram)] += s
    weights = (means.T - a * within.T @ np.linalg.solve(gram, within @ means.T)) / s  # (F, C)
    biases = np.log(counts / len(x)) - 0.5 * (means * weights.T).sum(axis=1)
    return Recogniser(classes, weights.astype(np.float32), biases)


def listed(numbers: Sequence[str]) -> str:
    """Write dive numbers: ``407C``, ``407C or 405C``, ``407C, 405C, 405B or 4 others``."""
    shown, more = list(numbers[:_MOST_LISTED]), len(numbers) - _MOST_LISTED
    if more > 0:
        shown.append(f"{more} others" if more > 1 else numbers[-1])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return found
