"""Figures of dive numbers told from clips: names, sets of possible numbers, doubts, and scores of unknown numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.common.recognition import Recogniser, describe
from mcore.diving import DiveNumber
from mcore.diving.judging import possible_points
from mcore.evaluation.assessment import Figure, bootstrap_figure, bootstrap_share, score_figures
from mcore_export.exemplars.dive_scores import ComparedDive, Comparer, Scores, possible_scores

_ANNOUNCEMENT_SEED = 0
_TOP = 3
PARTS: Mapping[str, Callable[[DiveNumber], object]] = {
    "group": lambda dive: dive.group,
    "direction": lambda dive: dive.direction,
    "somersaults": lambda dive: dive.half_somersaults,
    "twists": lambda dive: dive.half_twists,
    "position": lambda dive: dive.position,
    "armstand": lambda dive: dive.armstand,
}
"""What a dive number says, by name."""
_NEAR = {
    "only the position wrong": {"position"},
    "only the somersaults wrong": {"somersaults"},
    "only the twists wrong": {"twists"},
    "only the direction wrong": {"group", "direction"},
}
"""Ways in which an announcement is nearly right."""


@dataclass(frozen=True)
class NamedDive:
    """One dive, and what the bundle makes of it."""

    number: str
    """The right one."""
    ranked: tuple[str, ...]
    """All numbers that the bundle knows, the most probable first."""
    possible: tuple[str, ...]
    doubted: frozenset[str]
    """Numbers that would be doubted if they were announced."""
    compared: ComparedDive


@dataclass(frozen=True)
class Share:
    """A share of dives, in a line of a table."""

    what: str
    dives: int
    share: Figure


@dataclass(frozen=True)
class ScoreRow:
    """Scores of the same dives against one choice of exemplars."""

    exemplars: str
    dives: int
    mean_exemplars: float
    """Exemplars that a dive was compared with, on average."""
    srcc: Figure
    relative_l2_x100: Figure
    mae_points: Figure
    mae_difference: Figure
    """Mean absolute error less that against all exemplars, points: an interval without 0 is a real difference."""


@dataclass(frozen=True)
class NumberRow:
    """All dives of one number."""

    number: str
    learned: bool
    """Whether the bundle has learned this number."""
    dives: int
    right: int
    """Dives of which it is the most probable number."""
    in_set: int
    mean_set: float
    taken_for: str
    """Most frequent other number that was the most probable one; empty: none was."""


def name_dives(recogniser: Recogniser, dives: Sequence[ComparedDive]) -> list[NamedDive]:
    """Let a recogniser name dives."""
    named = []
    for dive in dives:
        probabilities = recogniser.probabilities(describe(dive.features, np.array(dive.transitions)))
        ranked = recogniser.numbers[np.argsort(-probabilities, kind="stable")]
        doubted = frozenset(number for number in ranked.tolist() if recogniser.judge(probabilities, number).is_doubted)
        possible = recogniser.judge(probabilities).numbers
        named.append(NamedDive(dive.record.dive_number, tuple(ranked.tolist()), possible, doubted, dive))
    return named


def name_shares(named: Sequence[NamedDive], num_resamples: int) -> tuple[Share, ...]:
    """Shares of dives that are named rightly: the number, and each part of it."""
    right, found = [DiveNumber.parse(d.number) for d in named], [DiveNumber.parse(d.ranked[0]) for d in named]
    rows = {
        "number": [dive.number == dive.ranked[0] for dive in named],
        f"number among the first {_TOP}": [dive.number in dive.ranked[:_TOP] for dive in named],
        **{name: [part(a) == part(b) for a, b in zip(right, found, strict=True)] for name, part in PARTS.items()},
    }
    return tuple(Share(what, len(named), bootstrap_share(hits, num_resamples)) for what, hits in rows.items())


def set_shares(named: Sequence[NamedDive], num_resamples: int) -> tuple[Share, ...]:
    """Shares of sets of possible numbers that hold the right number: of all, and by their size."""
    sizes = np.array([len(dive.possible) for dive in named])
    held = np.array([dive.number in dive.possible for dive in named])
    rows = {"all sets": sizes > 0, "sets of 1": sizes == 1, "of 2": sizes == 2, "of 3": sizes == 3, "larger": sizes > 3}
    return tuple(
        Share(what, int(those.sum()), bootstrap_share(held[those], num_resamples))
        for what, those in rows.items()
        if those.any()
    )


def doubt_shares(named: Sequence[NamedDive], num_resamples: int) -> tuple[Share, ...]:
    """Shares of announcements that are doubted: the right ones, and wrong ones, by chance and nearly right."""
    rng = np.random.default_rng(_ANNOUNCEMENT_SEED)
    announced: dict[str, list[tuple[NamedDive, str]]] = {
        "announced rightly": [(dive, dive.number) for dive in named],
        "as another dive of the list": [],
        **{kind: [] for kind in _NEAR},
    }
    for dive in named:
        others = [other.number for other in named if other.number != dive.number]
        if others:
            announced["as another dive of the list"].append((dive, str(rng.choice(others))))
        for number in sorted(dive.ranked):
            if (kind := _near_kind(dive.number, number)) is not None:
                announced[kind].append((dive, number))
    return tuple(
        Share(what, len(pairs), bootstrap_share([number in dive.doubted for dive, number in pairs], num_resamples))
        for what, pairs in announced.items()
        if pairs
    )


def score_rows(named: Sequence[NamedDive], comparer: Comparer, num_resamples: int) -> tuple[ScoreRow, ...]:
    """Scores of dives against exemplars of all numbers, of the possible ones, of the likeliest one, and of their own.

    Each dive is compared with those of them that look most like it. Only dives of whose number there are exemplars
    count, the same in each row.
    """
    bank = comparer.bank
    known = [dive for dive in named if (bank.dive_numbers == dive.number).any()]
    ways: dict[str, Callable[[NamedDive], NDArray[np.bool_]]] = {
        "all": lambda dive: np.ones(len(bank), bool),
        "of the possible numbers": lambda dive: np.isin(bank.dive_numbers, dive.possible),
        "of the most probable number": lambda dive: bank.dive_numbers == dive.ranked[0],
        "of the right number": lambda dive: bank.dive_numbers == dive.number,
        "of all other numbers": lambda dive: bank.dive_numbers != dive.number,
    }
    rows, first = [], None
    for exemplars, choose in ways.items():
        scores, counts = Scores(), []
        for dive in known:
            chosen = choose(dive)
            chosen = chosen if chosen.any() else np.ones(len(bank), bool)  # as the runtime does
            found = comparer.compare(dive.compared.tokens, chosen)
            assert found is not None
            counts.append(len(found.exemplars))
            scores.add(float(found.predicted.mean()), dive.compared.record, dive.compared.transitions)
        if exemplars == "of the right number":
            predicted = possible_scores(scores)
        else:  # the difficulty is not known, and with it the limit
            predicted = np.array([possible_points(score, None) for score in scores.predicted])
        true = np.array(scores.true)
        errors = np.abs(predicted - true)
        first = errors if first is None else first
        less_first = bootstrap_figure(lambda each: float(np.mean(each)), (errors - first,), num_resamples, 0)
        figures = score_figures(predicted, true, num_resamples)
        rows.append(ScoreRow(exemplars, len(true), float(np.mean(counts)), *figures, less_first))
    return tuple(rows)


def number_rows(named: Sequence[NamedDive]) -> tuple[NumberRow, ...]:
    """What becomes of the dives of each number."""
    rows = []
    for number in sorted({dive.number for dive in named}):
        dives = [dive for dive in named if dive.number == number]
        wrong = Counter(dive.ranked[0] for dive in dives if dive.ranked[0] != number)
        rows.append(
            NumberRow(
                number=number,
                learned=number in dives[0].ranked,
                dives=len(dives),
                right=len(dives) - wrong.total(),
                in_set=sum(number in dive.possible for dive in dives),
                mean_set=float(np.mean([len(dive.possible) for dive in dives])),
                taken_for=wrong.most_common(1)[0][0] if wrong else "",
            )
        )
    return tuple(rows)


def _near_kind(right: str, other: str) -> str | None:
    """Say in what one thing another number differs from the right one; None: in nothing, or in more."""
    a, b = DiveNumber.parse(right), DiveNumber.parse(other)
    apart = {name for name, part in PARTS.items() if part(a) != part(b)}
    return next((kind for kind, parts in _NEAR.items() if apart and apart <= parts), None)
