"""Snapshots as the page takes them: the session's own, with each dive number in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mcore.common.errors import UserError
from mcore.diving import DiveNumber
from mcore_runtime.report.side_by_side import SideBySide

_PULSE = ("revision", "source", "detector", "health")


def present(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Add ``dive_words``: what each dive number in it means."""
    numbers = {row["dive_number"] for part in ("start_list", "dives") for row in snapshot[part]}
    numbers.add(snapshot["default_dive_number"])
    words = {number: text for number in sorted(numbers - {None}) if (text := words_of(number)) is not None}
    return {**snapshot, "dive_words": words}


def present_beside(both: SideBySide | None) -> dict[str, Any] | None:
    """Say which moments there are to see of a dive and its closest exemplar; None: there are none."""
    if both is None:
        return None
    dive_s, exemplar_s = ([moment.pts_seconds for moment in moments] for moments in (both.dive, both.other))
    return {"exemplar": both.exemplar, "dive_s": dive_s, "exemplar_s": exemplar_s}


def pulse_of(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes all the time, and what must not be missed."""
    return {name: snapshot[name] for name in _PULSE} | {"problem": snapshot["session"]["problem"]}


@lru_cache(maxsize=512)
def words_of(dive_number: str) -> str | None:
    """Say a dive number in words; None: it is not one."""
    try:
        return DiveNumber.parse(dive_number).describe()
    except UserError:
        return None


def to_text(value: Any) -> str:
    """Return compact JSON.

    Raises:
        ValueError: a number is not finite; browsers could not read it.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
