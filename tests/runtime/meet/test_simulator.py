"""A simulated meet, heard by a session that sees its dives: with everything that goes wrong, nothing is another's."""

from __future__ import annotations

import pytest

from mcore.synthetic.meet import MeetSettings
from mcore_runtime.competition.start_list import TEMPLATE, parse_start_list
from mcore_runtime.meet.message import EventEnd, RefereeMessage, compose, parse
from mcore_runtime.meet.simulator import MISHAPS, MeetPlan, PlannedDive, from_film, from_start_list, simulate
from tests.runtime.meet.test_follow import Meet

LISTED = from_start_list(
    parse_start_list(TEMPLATE + '5,3,Ada Example / Bo Sample,"A/B",101B,3,\n6,3,Cy,,103B,3,\n').entries
)
FILMED = from_film(MeetSettings(seed=2, dives=9))


def watched(plan: MeetPlan) -> tuple[Meet, dict[str, float]]:
    """A session that hears all and sees each dive before its first award; and the last points of each dive."""
    meet, last = Meet(), dict[str, float]()
    seen: set[tuple[str, int | None]] = set()
    for sent in simulate(plan):
        message = parse(compose(sent.message))
        assert message == sent.message
        if message is None or message.event != plan.event:
            continue
        after_s = max(0.0, sent.time_s - meet.seconds)
        if isinstance(message, RefereeMessage):
            key = (f"{message.athlete} {message.round}", message.attempt)
            if message.has_awards and key not in seen:
                seen.add(key)
                meet.then("dive", after_s=after_s / 2)
                after_s /= 2
            if message.is_judged and message.points is not None:
                last[key[0]] = message.points
        meet.then(message, after_s=after_s)
    return meet, last


@pytest.mark.parametrize("dives", [LISTED, FILMED], ids=["list", "film"])
@pytest.mark.parametrize("mishaps", [(), MISHAPS])
@pytest.mark.parametrize("judges", [5, 7])
def test_whatever_goes_wrong(dives: tuple[PlannedDive, ...], mishaps: tuple[str, ...], judges: int) -> None:
    chosen = frozenset(name for name in MISHAPS if name in mishaps and not (dives is FILMED and name == "re-dive"))
    meet, last = watched(MeetPlan(dives, judges=judges, mishaps=chosen, seed=3))
    rounds = {entry.order: entry.round for entry in meet.state.competition.entries}
    given = {
        f"{dive.athlete} {rounds[dive.order]}": dive.judges.points
        for dive in meet.state.dives.values()
        if dive.order is not None and dive.judges is not None
    }
    assert given == last
    assert not meet.questions
    assert meet.part["is_over"]
    assert not any(dive.held for dive in meet.state.dives.values())
    scratched = [entry.athlete for entry in meet.state.competition.entries if entry.dive is None]
    assert scratched == (["Gil Scratched"] if "scratch" in chosen else [])


def test_points_are_those_of_the_rules_and_of_the_film() -> None:
    judged = [sent.message for sent in simulate(MeetPlan(FILMED))]
    points = [message.points for message in judged if isinstance(message, RefereeMessage) and message.is_judged]
    assert points[::2] == [pytest.approx(dive.score, abs=0.02) for dive in FILMED]
    assert all(not message.doubts for message in judged if not isinstance(message, EventEnd))
