"""Judging by the rules: awards of 0 to 10 by half points, the outer ones dropped, times the difficulty."""

from __future__ import annotations

from collections.abc import Sequence

from mcore.common.errors import UserError

COUNTED_AWARDS = 3
"""Awards that count towards a score, whatever the size of the panel."""
MAX_AWARD = 10
"""Best award."""
DROPPED_AT_EACH_END = {3: 0, 5: 1, 7: 2}
"""Awards cancelled at either end, by the number of judges; three always count."""


def counted_awards(awards: Sequence[float]) -> list[float]:
    """Return the three awards that count, lowest first.

    Args:
        awards: 3, 5 or 7 of them, each 0 to 10 in steps of a half.

    Raises:
        UserError: another number of judges, or an award that cannot be.
    """
    if len(awards) not in DROPPED_AT_EACH_END:
        raise UserError(f"{len(awards)} awards; panels have {', '.join(map(str, DROPPED_AT_EACH_END))} judges")
    for award in awards:
        if not (0 <= award <= MAX_AWARD and float(award * 2).is_integer()):
            raise UserError(f"an award of {award}; allowed: 0 to 10 in steps of 0.5")
    drop = DROPPED_AT_EACH_END[len(awards)]
    return sorted(float(award) for award in awards)[drop : len(awards) - drop]


def dive_score(awards: Sequence[float], difficulty: float) -> float:
    """Score of a dive, points: difficulty x sum of the three counted awards.

    Args:
        awards: 3, 5 or 7 of them, each 0 to 10 in steps of a half.
        difficulty: degree of difficulty.

    Raises:
        UserError: another number of judges, or an award that cannot be.
    """
    return round(difficulty * sum(counted_awards(awards)), 2)
