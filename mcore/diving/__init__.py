"""Diving by the rules: dive numbers, degree of difficulty, judging. Needs nothing but the standard library."""

from mcore.diving.difficulty import difficulties, difficulty, why_no_difficulty
from mcore.diving.dive_number import DiveNumber
from mcore.diving.editions import EDITIONS, NEWEST, NEWEST_YEAR, Edition, EditionYear, edition_of
from mcore.diving.judging import Penalty, dive_score

__all__ = [
    "EDITIONS",
    "NEWEST",
    "NEWEST_YEAR",
    "DiveNumber",
    "Edition",
    "EditionYear",
    "Penalty",
    "difficulties",
    "difficulty",
    "dive_score",
    "edition_of",
    "why_no_difficulty",
]
