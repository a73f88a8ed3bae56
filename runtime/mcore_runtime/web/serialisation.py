"""Serialisation of a live session for the page: snapshots with dive numbers in words, heartbeats, comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mcore.common.errors import UserError
from mcore.diving import DiveNumber, EditionYear, difficulties, edition_of
from mcore.diving.label_difficulty import describe_difficulty
from mcore_runtime.report.exemplar_comparison import ComparedMoments

_HEARTBEAT = ("revision", "source", "detector", "health", "meet_feed")


def with_dive_words(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a snapshot what each dive number in it means, and which rules give it which difficulties."""
    numbers = {row["dive_number"] for part in ("start_list", "dives") for row in snapshot[part]}
    numbers.add(snapshot["default_dive_number"])
    words = {number: text for number in sorted(numbers - {None}) if (text := words_of(number)) is not None}
    return {
        **snapshot,
        "dive_words": words,
        "difficulty_words": {number: _difficulty_words(number, snapshot["session"]["edition"]) for number in words},
    }


def comparison_times(comparison: ComparedMoments | None) -> dict[str, Any] | None:
    """Return which moments of a dive and its closest exemplar have pictures; None: there are none."""
    if comparison is None:
        return None
    dive_s, exemplar_s = (
        [moment.pts_seconds for moment in moments] for moments in (comparison.dive, comparison.exemplar)
    )
    return {"exemplar": comparison.exemplar_name, "dive_s": dive_s, "exemplar_s": exemplar_s}


def heartbeat_of(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes all the time, and the problem that must not be missed."""
    return {name: snapshot[name] for name in _HEARTBEAT} | {"problem": snapshot["session"]["problem"]}


@lru_cache(maxsize=512)
def words_of(dive_number: str) -> str | None:
    """Say a dive number in words; None: it is not one."""
    try:
        return DiveNumber.parse(dive_number).describe()
    except UserError:
        return None


@lru_cache(maxsize=512)
def _difficulty_words(dive_number: str, year: EditionYear) -> dict[str, str]:
    """Say each difficulty that the rules give a dive; keys are the difficulties to one decimal."""
    edition = edition_of(year)
    values = difficulties(dive_number, edition).values()
    return {f"{value:.1f}": describe_difficulty(dive_number, value, edition) for value in values}
