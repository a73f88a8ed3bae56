"""Labels of a data set as they come, bad ones included, on their way to a list of dives.

Readers of foreign formats return ``LabelledDive`` and never stop at one bad dive: ``mcore-data check`` reports
what is wrong, ``mcore-data convert`` writes what training can use.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mcore.common.errors import DiveNumberError
from mcore.data.manifest import DiveRecord
from mcore.diving import DiveNumber

VALIDATION_SHARE = 0.1
"""Part of the training dives that chooses checkpoints, where a data set comes without a validation split."""
ARROW = " -> "
"""Between the names of the step that ends and the one that begins."""
MIN_TRAINING_DIVES = 2
"""Training dives of a number that validation leaves: a pair needs two."""


@dataclass(frozen=True)
class LabelledDive:
    """One dive of a data set."""

    name: str
    """Name of the dive in the data set, such as ``01/1``."""
    record: DiveRecord | None
    """None where the labels cannot be read."""
    step_frames: tuple[int, ...] | None = None
    """First frame of every step after the first, in the order of the labels; None where not labelled."""
    problem: str | None = None
    """What is wrong with the labels as they are written, if anything."""
    step_changes: tuple[str, ...] | None = None
    """What each of ``step_frames`` changes, such as ``Back -> 1.5 Twists`` (``ARROW``); None where steps have no
    names."""


@dataclass(frozen=True)
class LeftOut:
    """A dive that cannot be used."""

    name: str
    """Name of the dive in its data set."""
    reason: str


def rules_spelling(number: object) -> str:
    """Spell a data set's dive number as the rules do; what is none stays, for ``mcore-data check`` to name."""
    text = str(number)
    try:
        return DiveNumber.parse(text).text
    except DiveNumberError:
        return text.strip()


def transitions_of_steps(step_frames: Sequence[int]) -> tuple[int, int] | None:
    """Reduce a dive's steps to take-off, flight and entry (docs/reference/network.md, section 7).

    Args:
        step_frames: first frame of every step after the first.

    Returns:
        First frame of the second step and of the last one; None unless there are at least two, above 0 and
        ascending: then a stage would be empty or unknown.
    """
    ascending = all(before < after for before, after in itertools.pairwise(step_frames))
    if len(step_frames) < 2 or step_frames[0] < 1 or not ascending:
        return None
    return step_frames[0], step_frames[-1]


def with_validation(
    dives: Iterable[LabelledDive], share: float = VALIDATION_SHARE, seed: int = 0
) -> list[LabelledDive]:
    """Move part of the training dives to a validation split; the test split is never touched.

    Each dive number gives its share, and keeps at least ``MIN_TRAINING_DIVES``. Which dives is decided by a hash
    of seed and name alone, so that order, machine and Python version change nothing.

    Args:
        dives: dives with the splits of the data set; where any is in ``val`` already, they are returned as they are.
        share: 0..1.
        seed: of the choice.
    """
    dives = list(dives)
    groups: dict[str, list[str]] = defaultdict(list)
    for dive in dives:
        if dive.record is not None and dive.record.split == "val":
            return dives
        if dive.record is not None and dive.record.split == "train":
            groups[dive.record.dive_number].append(dive.name)
    chosen: set[str] = set()
    for names in groups.values():
        count = max(0, min(math.floor(len(names) * share + 0.5), len(names) - MIN_TRAINING_DIVES))
        chosen.update(sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())[:count])
    return [
        replace(dive, record=replace(dive.record, split="val"))
        if dive.record is not None and dive.record.split == "train" and dive.name in chosen
        else dive
        for dive in dives
    ]
