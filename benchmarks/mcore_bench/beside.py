"""What belongs beside a run on its pages: counts of other networks, accuracy, and runs of the bundle in other ways."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.config import from_dict
from mcore.evaluation.assessment import Figure
from mcore_bench.account import GIGA, Counted
from mcore_bench.budget import EqualBudget
from mcore_bench.contenders import OTHER_NETWORKS, contender_name
from mcore_bench.pareto import Pareto
from mcore_bench.result import Result
from mcore_bench.show import spread
from mcore_bench.throughput import BATCHES_TITLE
from mcore_bench.timing import Group
from mcore_export.accuracy import BundleAccuracy, Row

ELSEWHERE_NOTE = "Batches are of a bundle of the same checkpoint without `--for-cpu`, whose tiles have no batch axis."
NETWORKS_NOTE = (
    "GMAC and parameters are of the features alone, without a classifier, on this network's clip. USDL, CoRe and TSA "
    "feed I3D overlapping snippets of 16 frames of 224 x 224 pixels; here it has one pass over the whole clip, as the "
    "others do, so this is I3D on our input, not the cost of those methods."
)
GMAC = "GMAC"
"""Heading of the operations of other networks."""
_KEPT = "with freed memory kept"
_TORCH = ("PyTorch", "torch.compile")
"""What a row or its group has in its name where PyTorch runs it."""


NOTHING = Counted((), ())


@dataclass(frozen=True)
class Beside:
    """What was counted and measured elsewhere."""

    counted: Counted = NOTHING
    pareto: Pareto | None = None
    budget: EqualBudget | None = None
    accuracy: tuple[BundleAccuracy, ...] = ()
    """Of the measured bundle, over whole test sets."""
    kept_memory: Result | None = None
    """The same bundle with ``--keep-freed-memory``."""
    with_plain: Result | None = None
    """The same bundle measured after one of its checkpoint without ``--for-cpu``, which takes batches."""

    def check(self, result: Result) -> None:
        """Hold files that are of one bundle to the measured one.

        Raises:
            UserError: one is of another bundle.
        """
        wanted = result.bundles[0].bundle_sha256
        others = {"--accuracy": [each.bundle_sha256 for each in self.accuracy]}
        if self.kept_memory is not None:
            others["--kept-memory"] = [self.kept_memory.bundles[0].bundle_sha256]
        if self.with_plain is not None:
            others["--with-plain"] = [self.with_plain.bundles[-1].bundle_sha256]
        for flag, found in others.items():
            if strange := [sha for sha in found if sha != wanted]:
                raise UserError(
                    f"{flag} is of bundle {strange[0][:12]}, the results are of {wanted[:12]}; measure the same bundle"
                )

    def columns(self, group: Group) -> Mapping[str, Mapping[str, str]]:
        """Further columns of a group: operations of other networks, and ratios with freed memory kept."""
        found: dict[str, Mapping[str, str]] = {}
        costs = {cost.name: cost for cost in self.counted.networks}
        if group.title.startswith(OTHER_NETWORKS) and costs:
            found[GMAC] = {name: f"{cost.macs / GIGA:.2f}" for name, cost in costs.items()}
            found["M parameters"] = {name: f"{cost.parameters / 1e6:.2f}" for name, cost in costs.items()}
        kept = _group(self.kept_memory, group.title)
        if kept is not None and kept.baseline == group.baseline and any(_of_torch(r.name, group) for r in group.rows):
            found[_KEPT] = {row.name: spread(row.speedup) for row in kept.rows}
        return found

    def elsewhere(self) -> Iterator[Group]:
        """Groups that the bundle itself cannot have: batches, and its backbones in turns with the plain one's."""
        if self.with_plain is not None:
            yield from (g for g in self.with_plain.bundles[0].groups if g.title.startswith(BATCHES_TITLE))
            if self.with_plain.side_by_side is not None:
                yield self.with_plain.side_by_side

    def test_row(self, contender: str) -> Row | None:
        """The contender's scores over the whole test set against exemplars of the dive's number, where measured."""
        rows = (
            row
            for each in self.accuracy
            for row in each.rows
            if row.same_number and _contender(each.engines.get(row.precision, ""), row.precision) == contender
        )
        return next(rows, None)

    def kept_range(self, result: Result) -> str | None:
        """Say how much faster PyTorch is with freed memory kept; None: not measured."""
        found = sorted(self._kept_ratios(result))
        if not found:
            return None
        (least, slow), (most, fast) = found[0], found[-1]
        return (
            f"with freed memory kept PyTorch is {least:.2f} ({slow}) to {most:.2f} times ({fast}) as fast, by the "
            "medians of the two runs"
        )

    def _kept_ratios(self, result: Result) -> Iterator[tuple[float, str]]:
        for group in result.bundles[0].groups:
            kept = _group(self.kept_memory, group.title)
            for row in group.rows if kept is not None else ():
                same = [each for each in kept.rows if each.name == row.name] if kept is not None else []
                if same and _of_torch(row.name, group):
                    place = "" if group.title.startswith(OTHER_NETWORKS) else f", {group.title.partition(',')[0]}"
                    yield row.timing.median_ms / same[0].timing.median_ms, row.name + place


def read_accuracy(path: Path) -> BundleAccuracy:
    """Read what ``python -m mcore_export.accuracy --json`` wrote.

    Raises:
        UserError: it cannot be read, or is no such file.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        figures = ("srcc", "relative_l2_x100", "mae_points", "coverage")
        rows = [
            {**row, **{name: None if row[name] is None else from_dict(Figure, row[name]) for name in figures}}
            for row in values["rows"]
        ]
        return BundleAccuracy(**{**values, "rows": tuple(Row(**row) for row in rows)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no file of mcore_export.accuracy ({error!r}); measure again") from error


def _contender(engine: str, precision: str) -> str:
    """Name of the contender: engines begin with the backend's name, such as ``openvino-bf16, AMD EPYC, ...``."""
    return contender_name(engine.partition(",")[0], precision)


def _group(result: Result | None, title: str) -> Group | None:
    groups = () if result is None else result.bundles[0].groups
    return next((group for group in groups if group.title == title), None)


def _of_torch(name: str, group: Group) -> bool:
    return any(word in text for word in _TORCH for text in (name, group.title))
