"""Diving by the rules: dive numbers, degree of difficulty, judging. Needs nothing but the standard library."""

from mcore.diving.difficulty import difficulty
from mcore.diving.dive_number import DiveNumber
from mcore.diving.judging import dive_score

__all__ = ["DiveNumber", "difficulty", "dive_score"]
