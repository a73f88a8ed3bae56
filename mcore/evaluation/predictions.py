"""predictions.csv of an evaluation: one line a dive, written and read back."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mcore.common.errors import UserError
from mcore.common.files import write_text


@dataclass(frozen=True)
class DivePrediction:
    """A dive's line. Frames are sampled frames; what is not known or not labelled is None, and empty in the file."""

    dive: str
    """Name by which runs are compared; no two are alike."""
    path: str
    dive_number: str
    difficulty: float | None
    true_score: float
    predicted_score: float
    low: float | None
    """Lower end of the conformal interval, points."""
    high: float | None
    """Upper end of the interval."""
    exemplar_std: float
    """Standard deviation of the predictions from the single exemplars, points."""
    dive_number_mean: float
    """Mean training score of the dive number: the baseline."""
    flight_frame: int
    entry_frame: int
    true_flight_frame: int | None
    true_entry_frame: int | None

    @property
    def true_transitions(self) -> tuple[int, int] | None:
        """Labelled transitions, or None."""
        flight, entry = self.true_flight_frame, self.true_entry_frame
        return None if flight is None or entry is None else (flight, entry)


_COLUMNS = [field.name for field in fields(DivePrediction)]
_TEXTS = ("dive", "path", "dive_number")
_FOUR_DIGITS = ("predicted_score", "low", "high", "exemplar_std", "dive_number_mean")


def write_predictions(path: Path, dives: Sequence[DivePrediction]) -> None:
    """Write one line a dive, in the order given."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for dive in dives:
        values = asdict(dive)
        rounded = {name: f"{values[name]:.4f}" for name in _FOUR_DIGITS if values[name] is not None}
        writer.writerow(values | rounded)
    write_text(path, text.getvalue())


def read_predictions(path: Path) -> dict[str, DivePrediction]:
    """Read the lines by their dives' names.

    Raises:
        UserError: the file is missing, damaged, or of an earlier version.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}); evaluate the run again") from error
    if not rows or (missing := [column for column in _COLUMNS if column not in rows[0]]):
        lacks = f"lacks {', '.join(missing)}" if rows else "is empty"
        raise UserError(f"{path} {lacks}, as one of an earlier version; evaluate the run again")
    try:
        return {row["dive"]: _from_texts(row) for row in rows}
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); evaluate the run again") from error


def _from_texts(row: Mapping[str, str]) -> DivePrediction:
    values: dict[str, str | int | float | None] = {name: row[name] for name in _TEXTS}
    for name in _COLUMNS:
        if name not in _TEXTS:
            number = int if name.endswith("_frame") else float
            values[name] = number(row[name]) if row[name] else None
    dive = DivePrediction(**values)  # type: ignore[arg-type]  # by the columns' names
    if not math.isfinite(dive.predicted_score):
        raise ValueError(f"predicted_score is {dive.predicted_score}")
    return dive
