"""A difficulty that somebody gave, against the rules, and against the score that it should have made."""

from __future__ import annotations

import math

from mcore.common.errors import DiveNumberError
from mcore.diving.difficulty import SYNCHRO_DIFFICULTY, difficulties
from mcore.diving.dive_number import DiveNumber
from mcore.diving.editions import BEFORE_2017, NEWEST, Edition
from mcore.diving.judging import PANELS, fits_awards


def fits_score(score: float, difficulty: float) -> bool:
    """Say whether any awards of any panel, for one diver or for a pair, give a score at a difficulty."""
    return any(fits_awards(score, difficulty, panel) for panel in (PANELS[7], PANELS[11]))


def older_difficulty(dive_number: str, difficulty: float, score: float) -> float | None:
    """Difficulty before 2017 with which a score was made, though its label carries today's; None: no such case.

    Args:
        dive_number: in any spelling.
        difficulty: as the label gives it, above 0.
        score: points.
    """
    if fits_score(score, difficulty):
        return None
    try:
        dive = DiveNumber.parse(dive_number)
    except DiveNumberError:
        return None
    of_label = [height for height, value in difficulties(dive).items() if math.isclose(value, difficulty)]
    older = [BEFORE_2017[dive.text, height] for height in of_label if (dive.text, height) in BEFORE_2017]
    return next((value for value in older if fits_score(score, value)), None)


def fitting_difficulty(dive_number: str, difficulty: float | None, score: float) -> float:
    """Difficulty with which a labelled score was made: as labelled, unless only an older one gives it; nan: unknown."""
    if not difficulty or not math.isfinite(difficulty):
        return math.nan
    return older_difficulty(dive_number, difficulty, score) or difficulty


def describe_difficulty(dive_number: str | None, difficulty: float, edition: Edition = NEWEST) -> str:
    """Say a difficulty, from which heights the rules give it, and which rules, in words.

    Example:
        >>> describe_difficulty("407C", 3.2)
        'difficulty 3.2 (from 10 m; World Aquatics, 25 June 2025)'
    """
    text = f"difficulty {difficulty:.1f}"
    try:
        known = difficulties(dive_number or "", edition).items()
    except DiveNumberError:  # of a bundle whose dives are not numbered by the rules
        return text
    heights = [f"{height:g}" for height, value in known if math.isclose(value, difficulty, abs_tol=1e-6)]
    if heights:
        return f"{text} (from {' or '.join(heights)} m; {edition})"
    if math.isclose(difficulty, SYNCHRO_DIFFICULTY):
        return f"{text} (assigned in synchronised diving)"
    return f"{text} (not in the rules of {edition})"
