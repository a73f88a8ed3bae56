"""The exemplar bank: stage tokens and true scores of training dives that a new dive is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import BundleError, UserError
from mcore.common.exemplar_scores import nearest
from mcore.common.npz import read_arrays
from mcore.config import STAGES

_DTYPES = {"tokens": "f", "scores": "f", "dive_numbers": "U", "difficulties": "f", "names": "U", "stage_shares": "f"}
"""Kind of each array in the file; N is their common length."""
_NDIMS = {"tokens": 3, "stage_shares": 2}
"""Axes of those that have more than one."""
_MEASURED = 8
"""Exemplars among which the nearest one is looked for exactly."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class ExemplarBank:
    """N exemplar dives.

    Raises:
        BundleError: the arrays do not fit together, or a token or score is not finite.
    """

    tokens: NDArray[np.float32]
    """(N, 3K, D): K pooled tokens of each stage, stage after stage, as the exported graphs compute them."""
    scores: NDArray[np.float64]
    """(N,) true scores, points."""
    dive_numbers: NDArray[np.str_]
    """(N,) dive numbers, such as ``407C``."""
    difficulties: NDArray[np.float64]
    """(N,) degree of difficulty; NaN where unknown."""
    names: NDArray[np.str_]
    """(N,) what to call each dive in a report."""
    stage_shares: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, len(STAGES))))
    """(N, 3) what take-off, flight and entry add to it, against an average exemplar of its number, points. Left out, as
    in bundles of before, whose dives were compared with all exemplars of their number: 0."""
    graphs_sha256: str = ""
    """``GraphSet.digest`` of the graphs that encoded the tokens; empty: never saved with any."""

    def __post_init__(self) -> None:
        if not len(self.stage_shares):
            object.__setattr__(self, "stage_shares", np.zeros((len(self.scores), len(STAGES))))
        for name, kind in _DTYPES.items():
            values = getattr(self, name)
            ndim = _NDIMS.get(name, 1)
            if values.dtype.kind != kind or values.ndim != ndim or len(values) != len(self.scores):
                raise BundleError(
                    f"exemplars: {name} has type {values.dtype} and shape {values.shape} beside "
                    f"{len(self.scores)} scores; expected {ndim} axes and one entry for each "
                    "exemplar. Export the bundle again"
                )
        if not len(self.scores):
            raise BundleError("the exemplar bank is empty; a dive needs at least one to be compared with")
        if not (np.isfinite(self.tokens).all() and np.isfinite(self.scores).all()):
            raise BundleError("exemplars: a token or score is not a finite number; export the bundle again")

    def __len__(self) -> int:
        return len(self.scores)

    def counts(self) -> dict[str, int]:
        """Return how many exemplars each dive number has, sorted by dive number."""
        return dict(sorted(Counter(self.dive_numbers.tolist()).items()))

    def check_shape(self, num_tokens: int, feature_dim: int) -> None:
        """Raise ``BundleError`` if the tokens are not (N, ``num_tokens``, ``feature_dim``)."""
        if self.tokens.shape[1:] != (num_tokens, feature_dim):
            raise BundleError(
                f"exemplar tokens have shape {self.tokens.shape[1:]}, the network makes "
                f"{(num_tokens, feature_dim)}; export the bundle again"
            )

    def select(self, dive_number: str | None, *, any_exemplar: bool = False) -> ExemplarBank:
        """Return the exemplars that a dive can be compared with.

        Args:
            dive_number: the dive's number, in the spelling of ``DiveNumber.text``; None: unknown.
            any_exemplar: where the number is unknown or has no exemplar, take the whole bank instead.

        Raises:
            UserError: no exemplar of this number, and ``any_exemplar`` is not set.
        """
        if dive_number is not None and (self.dive_numbers == dive_number).any():
            return self.of_numbers((dive_number,))
        if not any_exemplar:
            raise UserError(self._no_exemplar_message(dive_number))
        return self

    def of_numbers(self, dive_numbers: Sequence[str]) -> ExemplarBank:
        """Return the exemplars of some dive numbers, of which there must be one, in the spelling of ``DiveNumber``."""
        return self._part(np.flatnonzero(np.isin(self.dive_numbers, dive_numbers)))

    def nearest(self, tokens: NDArray[np.float32], count: int | None) -> ExemplarBank:
        """Return the exemplars that look most like a dive with these tokens (3K, D); ``count`` of them, None: all."""
        return self._part(nearest(tokens, self.tokens, count))

    def stage_distances(self, tokens: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how far each stage of a dive is from that of the nearest exemplar, which may be another for each.

        Args:
            tokens: (3K, D) of the dive.

        Returns:
            (3,) root mean square of the differences between tokens.
        """
        distances = np.empty(len(STAGES))
        for stage, query in enumerate(tokens.reshape(len(STAGES), -1)):  # (K * D,)
            pool = self._by_stage[:, stage]  # (N, K * D)
            # |pool - query|^2 but for |query|^2. Products round more than differences, so the nearest few are measured.
            rough = self._squared_lengths[:, stage] - 2 * (pool @ query)  # (N,)
            near = pool[np.argsort(rough)[:_MEASURED]] - query  # (M, K * D)
            distances[stage] = np.sqrt(np.square(near, dtype=np.float64).mean(axis=-1).min())
        return distances

    @property
    def _by_stage(self) -> NDArray[np.float32]:
        return self.tokens.reshape(len(self), len(STAGES), -1)  # (N, 3, K * D)

    @cached_property
    def _squared_lengths(self) -> NDArray[np.float32]:
        """(N, 3), once for a bank: it takes longer than a dive's distances."""
        lengths: NDArray[np.float32] = np.einsum("nsk,nsk->ns", self._by_stage, self._by_stage)
        return lengths

    def _part(self, positions: NDArray[np.int64]) -> ExemplarBank:
        return replace(self, **{name: getattr(self, name)[positions] for name in _DTYPES})

    def save(self, path: str | Path) -> None:
        """Write the bank as an ``.npz`` file that loads without pickles."""
        arrays = {name: np.asarray(getattr(self, name)) for name in _DTYPES}
        with Path(path).open("wb") as file:  # a path would get a second ".npz" appended
            np.savez(file, allow_pickle=False, graphs_sha256=np.array(self.graphs_sha256), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> ExemplarBank:
        """Read what ``save`` wrote.

        Raises:
            BundleError: not such a file.
        """
        try:
            found = read_arrays(path)
            arrays = {name: found[name] for name in _DTYPES if name in found or name != "stage_shares"}
            graphs_sha256 = str(found["graphs_sha256"])
        except (ValueError, KeyError) as error:
            raise BundleError(f"{path} is not an exemplar bank ({error}); export the bundle again") from error
        arrays["tokens"] = arrays["tokens"].astype(np.float32, copy=False)
        return cls(**arrays, graphs_sha256=graphs_sha256)

    def _no_exemplar_message(self, dive_number: str | None) -> str:
        there = ", ".join(f"{number} ({count})" for number, count in self.counts().items())
        what = "no dive number given" if dive_number is None else f"no exemplars of dive number {dive_number}"
        return (
            f"{what}; the bundle has these (with how many exemplars): {there}. Give one of "
            "these, or score against all exemplars, which is less certain: --any-exemplar (any_exemplar=True)"
        )
