from __future__ import annotations

import numpy as np
import pytest

from mcore_runtime.detector.peaks import FlightPeaks, SpottedFlight

STEP_S = 1 / 12
LIMITS_S = 0.3, 9.0


def probabilities(
    seconds: float, dives: list[tuple[float, float]], takeoffs: tuple[float, ...] = ()
) -> list[list[float]]:
    """Rows of time, take-off, entry and flight; ``takeoffs`` are followed by no entry."""
    times = np.arange(0, seconds, STEP_S)
    rows = np.stack([times, *np.full((3, len(times)), 0.02)], 1)
    for takeoff_s, entry_s in [*dives, *((at_s, None) for at_s in takeoffs)]:
        rows[:, 1] = np.maximum(rows[:, 1], 0.9 * np.exp(-0.5 * ((times - takeoff_s) / STEP_S) ** 2))
        if entry_s is not None:
            rows[:, 2] = np.maximum(rows[:, 2], 0.9 * np.exp(-0.5 * ((times - entry_s) / STEP_S) ** 2))
            rows[(times >= takeoff_s) & (times < entry_s), 3] = 0.9
    listed: list[list[float]] = rows.tolist()
    return listed


def found(rows: list[list[float]], limits_s: tuple[float, float] = LIMITS_S) -> list[SpottedFlight]:
    peaks = FlightPeaks(limits_s)
    return [flight for row in rows if (flight := peaks.add(*row)) is not None]


@pytest.mark.parametrize("seconds", [0.9, 1.4, 2.0])
def test_a_flight_is_found_once_with_its_times(seconds: float) -> None:
    (flight,) = found(probabilities(8, [(3.01, 3.01 + seconds)]))
    assert flight.takeoff_s == pytest.approx(3.01, abs=0.05)
    assert flight.entry_s == pytest.approx(3.01 + seconds, abs=0.05)
    assert flight.confidence > 0.7


@pytest.mark.parametrize(("column", "at_s"), [(1, 3.0), (2, 4.5)])
def test_an_event_is_in_the_middle_of_what_is_half_as_likely(column: int, at_s: float) -> None:
    rows = probabilities(8, [(3.0, 4.5)])
    for row in rows:  # as likely for a third of a second before, less likely by far before that
        row[column] = max(
            row[column], 0.88 if at_s - 0.35 < row[0] < at_s else 0.4 if at_s - 0.6 < row[0] < at_s else 0
        )
    (flight,) = found(rows)
    times_s = [flight.takeoff_s, flight.entry_s]
    assert times_s.pop(column - 1) == pytest.approx(at_s - 0.15, abs=0.04)
    assert times_s == [pytest.approx(7.5 - at_s, abs=0.04)]


def test_two_dives_are_two() -> None:
    assert len(found(probabilities(14, [(3, 4.4), (9, 10.5)]))) == 2


@pytest.mark.parametrize(
    ("limits_s", "takeoff_s"), [((0.3, 9.0), 3.0), ((0.3, 2.4), 6.4), ((2.4, 9.0), 3.0), ((0.3, 0.8), None)]
)
def test_only_flights_within_the_limits_are_looked_at(limits_s: tuple[float, float], takeoff_s: float | None) -> None:
    rows = probabilities(12, [(3, 8.0)], takeoffs=(6.4,))  # the nearer take-off is a little less likely
    rows = [[time, 0.8 * takeoff if 6 < time < 7 else takeoff, *rest] for time, takeoff, *rest in rows]
    flights = [flight.takeoff_s for flight in found(rows, limits_s)]
    assert flights == ([] if takeoff_s is None else [pytest.approx(takeoff_s, abs=0.05)])


def test_who_flies_on_has_not_entered_the_water() -> None:
    rows = probabilities(9, [(3.0, 4.8)])
    for row in rows:
        row[2] = max(row[2], 0.8 * np.exp(-0.5 * ((row[0] - 3.9) / STEP_S) ** 2))  # a limb crosses the far edge
    (flight,) = found(rows)
    assert flight.takeoff_s == pytest.approx(3.0, abs=0.05)
    assert flight.entry_s == pytest.approx(4.8, abs=0.05)


def test_a_hurdle_before_the_dive_is_no_take_off() -> None:
    (flight,) = found(probabilities(9, [(4.5, 5.9)], takeoffs=(3.2,)))
    assert flight.takeoff_s == pytest.approx(4.5, abs=0.05)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(probabilities(6, [], takeoffs=(2.0,)), id="take-off without an entry"),
        pytest.param(probabilities(6, [(3.0, 3.2)]), id="shorter than any fall"),
        pytest.param([[row[0], row[1], row[2], 0.1] for row in probabilities(6, [(3, 4.4)])], id="nobody flies"),
        pytest.param([[row[0], 0.05, row[2], row[3]] for row in probabilities(6, [(3, 4.4)])], id="no take-off"),
    ],
)
def test_what_physics_or_the_pictures_deny_is_no_dive(rows: list[list[float]]) -> None:
    assert found(rows) == []


def test_a_dive_is_known_soon_after_its_entry() -> None:
    peaks = FlightPeaks(LIMITS_S)
    known = [row[0] for row in probabilities(8, [(3, 4.4)]) if peaks.add(*row) is not None]
    assert 0 < known[0] - 4.4 < 0.58  # with the network's look-ahead of 0.42 s: within a second
