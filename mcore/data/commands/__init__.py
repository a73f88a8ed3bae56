"""Subcommands of ``mcore-data``: a frozen dataclass each, whose ``run`` calls the package and prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mcore.common.printable import printable_message
from mcore.data.labels import LeftOut
from mcore.data.manifest import SPLITS, DiveRecord

MAX_SHOWN = 5
"""Problems that are printed; the rest is counted."""


def print_left_out(left_out: Sequence[LeftOut]) -> None:
    """Print which dives were left out, and why."""
    for dive in left_out[:MAX_SHOWN]:
        print(printable_message(f"left out {dive.name}: {dive.reason}"), file=sys.stderr)
    if len(left_out) > MAX_SHOWN:
        print(f"left out {len(left_out) - MAX_SHOWN} more; mcore-data check names them", file=sys.stderr)


def split_counts(records: Sequence[DiveRecord]) -> str:
    """Count dives by split: ``11 dives (7 train, 2 val, 2 test)``."""
    splits = ", ".join(f"{sum(record.split == split for record in records)} {split}" for split in SPLITS)
    return f"{len(records)} dives ({splits})"
