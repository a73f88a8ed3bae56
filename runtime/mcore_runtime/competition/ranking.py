"""The ranking: the sum of each athlete's scores, best first; equal sums share a rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcore_runtime.competition.entry import Entry


@dataclass(frozen=True)
class RankRow:
    """An athlete's place."""

    rank: int
    """From 1; athletes with equal totals share it, and the next rank is left out for each of them."""
    athlete: str
    club: str
    total: float
    """Sum of the scores, points, to the hundredth, as results are announced."""
    dives: int
    """Number of dives whose scores are in the total."""


def rank(entries: Iterable[Entry], dives_of: Mapping[int, Iterable[int]], scores: Mapping[int, float]) -> list[RankRow]:
    """Rank the athletes who have a score.

    Args:
        entries: the start list; an athlete is one name of one club.
        dives_of: numbers of the dives that were made for each entry, by its order.
        scores: points of the dives that count, by their number; of an entry's dives the latest of these counts.
    """
    points: dict[tuple[str, str], list[float]] = {}
    for entry in entries:
        counting = [number for number in dives_of.get(entry.order, ()) if number in scores]
        if counting:
            points.setdefault((entry.athlete, entry.club), []).append(scores[max(counting)])
    totals = sorted((-round(sum(values), 2), who) for who, values in points.items())
    sums = [total for total, _ in totals]
    return [RankRow(sums.index(total) + 1, *who, -total, len(points[who])) for total, who in totals]
