"""From awards to points by the rules (World Aquatics competition regulations, 6.4, 6.5, 7.5 to 7.8 and 9).

Three awards count for one diver. Five count for a synchronised pair, worth as much as three: their sum is taken times
0.6.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from mcore.common.errors import UserError

COUNTED_AWARDS = 3
"""Awards that count for one diver, whatever the size of the panel; a pair's five are worth as much."""
MAX_AWARD = 10
"""Best award."""
_RESTART_POINTS = 2
ROUNDING_POINTS = 0.0151
"""A score this close to one that awards can give is that one: some are published with fewer decimals."""


@dataclass(frozen=True)
class Panel:
    """Judges of one size of panel."""

    groups: tuple[tuple[int, int], ...]
    """Awards that are sorted together: how many there are, and how many are cancelled at each end."""
    execution: tuple[int, ...] = ()
    """Judges of the execution of each diver of a pair, who come first; empty: the panel sees one diver."""
    factor: float = 1.0
    """Of the sum of the counted awards."""

    @property
    def judges(self) -> int:
        """How many judges it has."""
        return sum(size for size, _ in self.groups)

    @property
    def counted(self) -> int:
        """How many awards count."""
        return sum(size - 2 * cancelled for size, cancelled in self.groups)

    @property
    def synchronised(self) -> bool:
        """Whether it sees a pair."""
        return bool(self.execution)


PANELS = {
    panel.judges: panel
    for panel in (
        Panel(((3, 0),)),
        Panel(((5, 1),)),
        Panel(((7, 2),)),
        Panel(((4, 1), (5, 1)), (2, 2), 0.6),
        Panel(((3, 1), (3, 1), (5, 1)), (3, 3), 0.6),
    )
}
"""By the number of judges. A pair's execution judges come first, by diver, then the five of synchronisation."""


class Penalty(str, Enum):
    """What the referee may declare of a dive."""

    RESTART = "restart"
    """The diver began again: 2 points off each award."""
    FAILED = "failed"
    """A failed dive: no points."""
    WRONG_POSITION = "wrong_position"
    """Clearly another position than announced: no award above 2; of a pair, a failed dive."""
    ARMS = "arms"
    """Arms on the wrong side of the head at entry: no award above 4.5."""


_MOST = {Penalty.WRONG_POSITION: 2.0, Penalty.ARMS: 4.5}


def counted_awards(awards: Sequence[float]) -> list[float]:
    """Return the awards that count, lowest first within each group of judges.

    Args:
        awards: 3, 5 or 7 of them for one diver, 9 or 11 for a pair, each 0 to 10 in steps of a half.

    Raises:
        UserError: another number of judges, or an award that cannot be.
    """
    counted: list[float] = []
    first = 0
    for size, cancelled in _panel(awards).groups:
        counted += sorted(map(float, awards[first : first + size]))[cancelled : size - cancelled]
        first += size
    return counted


def dive_score(awards: Sequence[float], difficulty: float, penalties: Collection[Penalty | str] = ()) -> float:
    """Score of a dive, points: difficulty x sum of the counted awards, for a pair times 0.6.

    Args:
        awards: 3, 5 or 7 of them for one diver, each 0 to 10 in steps of a half. Of a pair, 9 (two judges of each
            diver's execution, five of the synchronisation) or 11 (three, three and five), in this order.
        difficulty: degree of difficulty.
        penalties: what the referee declared, or the names of it; limits of an award come before the points off.

    Raises:
        UserError: another number of judges, an award that cannot be, or no such penalty.
    """
    panel, declared = _panel(awards), {_penalty(name) for name in penalties}
    if _failed(awards, panel, declared):
        return 0.0
    most = min((_MOST[each] for each in declared if each in _MOST), default=float(MAX_AWARD))
    less = _RESTART_POINTS if Penalty.RESTART in declared else 0
    return _points(difficulty, panel, sum(counted_awards([max(min(award, most) - less, 0.0) for award in awards])))


@dataclass(frozen=True)
class MeanAward:
    """A score and its interval in the unit in which judges think: what each of them would have given, 0 to 10."""

    value: float
    """Award that the score stands for, to the tenth."""
    low: float | None
    """Award of the interval's lower end; None: there is no interval."""
    high: float | None
    """Of its upper end."""

    @property
    def text(self) -> str:
        """In words, such as ``award 7.1 (6.4 to 7.8)``."""
        ends = "" if self.low is None or self.high is None else f" ({self.low:.1f} to {self.high:.1f})"
        return f"award {self.value:.1f}{ends}"

    def to_json(self) -> dict[str, float | str | None]:
        """Return plain containers: the fields, and ``text``."""
        return {"value": self.value, "low": self.low, "high": self.high, "text": self.text}


def mean_award(score: float, low: float | None, high: float | None, difficulty: float | None) -> MeanAward | None:
    """Award that every judge would have given, of a score and the ends of its interval, points.

    It is the score over three times the difficulty for a synchronised pair too: of its panel five awards count, times
    0.6.

    Returns:
        None where the difficulty is not known.
    """
    if not difficulty:
        return None
    ends = (None if end is None else round(_award(end, difficulty), 1) for end in (low, high))
    return MeanAward(round(_award(score, difficulty), 1), *ends)


def possible_points(points: float, difficulty: float | None) -> float:
    """Return the nearest points that a dive can get: 0 to the best award of every judge; difficulty None: unknown."""
    most = math.inf if difficulty is None else MAX_AWARD * COUNTED_AWARDS * difficulty
    return min(max(points, 0.0), most)


def nearest_sum(score: float, difficulty: float, panel: Panel) -> float:
    """Sum of counted awards that comes nearest to a score."""
    halves = round(2 * score / (difficulty * panel.factor))
    return min(max(halves, 0), 2 * MAX_AWARD * panel.counted) / 2


def nearest_score(score: float, difficulty: float, panel: Panel) -> float:
    """Score nearest to one that a panel's awards can give, points."""
    return _points(difficulty, panel, nearest_sum(score, difficulty, panel))


def fits_awards(score: float, difficulty: float, panel: Panel) -> bool:
    """Say whether any awards of a panel give a score at a difficulty."""
    return abs(nearest_score(score, difficulty, panel) - score) < ROUNDING_POINTS


def _panel(awards: Sequence[float]) -> Panel:
    """Panel that gave awards, which are checked."""
    if len(awards) not in PANELS:
        raise UserError(f"{len(awards)} awards; panels have {', '.join(map(str, PANELS))} judges")
    for award in awards:
        if not (0 <= award <= MAX_AWARD and float(award * 2).is_integer()):
            raise UserError(f"an award of {award}; allowed: 0 to 10 in steps of 0.5")
    return PANELS[len(awards)]


def _penalty(name: Penalty | str) -> Penalty:
    try:
        return Penalty(name)
    except ValueError:
        raise UserError(f"a penalty {name!r}; allowed: {', '.join(each.value for each in Penalty)}") from None


def _failed(awards: Sequence[float], panel: Panel, penalties: Collection[Penalty]) -> bool:
    """Say whether a dive has no points whatever else is given; of a pair, also if judges of one thing all gave 0."""
    if Penalty.FAILED in penalties:
        return True
    if not panel.synchronised:
        return False
    first, second = panel.execution
    of_each_thing = awards[:first], awards[first : first + second], awards[first + second :]
    return Penalty.WRONG_POSITION in penalties or not all(map(any, of_each_thing))


def _award(score: float, difficulty: float) -> float:
    return min(max(score / COUNTED_AWARDS / difficulty, 0.0), float(MAX_AWARD))


def _points(difficulty: float, panel: Panel, awards_sum: float) -> float:
    return round(difficulty * panel.factor * awards_sum, 2)
