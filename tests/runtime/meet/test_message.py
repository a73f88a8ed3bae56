"""DiveRecorder's messages: what is read of each kind, and what is refused of anything that comes over the network."""

from __future__ import annotations

import contextlib
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcore.diving import Penalty
from mcore_runtime.meet.layout import MAX_BYTES, SYNCHRO_PANELS, MessageError, places
from mcore_runtime.meet.message import EventEnd, RefereeMessage, compose, parse
from mcore_runtime.meet.record import result_of
from tests.runtime.meet.made import ANNOUNCED, AWARDS, announced, judged, raw

J = {f"award_{i}": f"{award:g}" for i, award in enumerate(AWARDS, 1)}


def read(**values: str) -> RefereeMessage:
    message = parse(raw(**values))
    assert isinstance(message, RefereeMessage)
    return message


def test_an_announcement_written_by_hand() -> None:
    data = (
        b"REFEREE|b|DR-POOL|2|True|3|1|12|Zo\xeb D'Arc - Stade|D'Arc| | |5253|B|3,2|7\xbd| | | | | | | | | | | |0|0.00|"
        b"123,45|1|2=|99.9|4|0|0|0|0|a|b|c|d|e|f|g|h|False|True|False|5|0|0|0|Zo\xeb|Stade|STA| | | |Damen Turm|"
        b"Back 2\xbd som 1\xbd tw pike|Cup|5|14|b 2|1|DT| | | | |30|False|False|^\r\n"
    )
    message = parse(data)
    assert isinstance(message, RefereeMessage)
    said = (message.event, message.athlete, message.club, message.dive_number, message.difficulty, message.height_m)
    assert said == ("B", "Zoë D'Arc", "Stade", "5253B", 3.2, 7.5)
    assert (message.round, message.start_number, message.rank, message.total) == (3, 12, 2, 123.45)
    assert message.awards == (None,) * 5
    assert message.panel == ("J1", "J2", "J3", "J4", "J5")
    assert (message.is_new_event, message.has_awards, message.is_judged, message.doubts) == (True, False, False, ())


@pytest.mark.parametrize("judges", [3, 5, 7, 9, 11])
def test_a_result_is_one_when_all_awards_and_the_points_are_in(judges: int) -> None:
    given = {f"award_{i}": "7" for i in range(1, judges + 1)}
    points = f"{3.4 * 21:.2f}" if judges <= 7 else "60"
    assert read(judges=str(judges), points=points, **given).is_judged
    assert not read(judges=str(judges), points=points, **given | {f"award_{judges}": " "}).is_judged
    assert not read(judges=str(judges), **given).is_judged


@pytest.mark.parametrize("judges", SYNCHRO_PANELS)
def test_panels_of_pairs_have_their_places(judges: int) -> None:
    panel = places(judges, True)
    given = {f"award_{place + 1}": f"{index / 2:g}" for index, (_, place) in enumerate(panel)}
    pair = {"diver_2": "Bo Sample", "first_name_2": "Bo", "family_name_2": "Sample", "team_2": "South"}
    message = read(synchro="True", judges=str(judges), points="50.10", **pair, **given)
    assert (message.athlete, message.club) == ("Ada Example / Bo Sample", "North / South")
    assert message.awards == tuple(index / 2 for index in range(judges))
    assert [name[0] for name in message.panel].count("S") == (3 if judges < 9 else 5)
    blank = next(place for place in range(11) if place not in {place for _, place in panel}) if judges < 11 else None
    if blank is not None:
        with pytest.raises(MessageError, match="none there"):
            read(synchro="True", judges=str(judges), points="50", **given | {f"award_{blank + 1}": "5"})


@pytest.mark.parametrize(
    ("code", "penalty", "points"),
    [
        ("1", Penalty.FAILED, "0.00"),
        ("2", Penalty.RESTART, "51.00"),
        ("3", Penalty.WRONG_POSITION, "20.40"),
        ("4", Penalty.ARMS, "45.90"),
    ],
)
def test_penalties_are_read_and_fit_their_points(code: str, penalty: Penalty, points: str) -> None:
    message = read(penalty=code, points=points, **J)
    assert (message.penalty, message.is_judged, message.doubts) == (penalty, True, ())
    result = result_of(message, "2026-12-01T10:00:00+00:00")
    assert result is not None
    assert not result.is_comparable


def test_a_failed_dive_needs_no_awards() -> None:
    assert read(penalty="1", points="0").is_judged


def test_cancelled_awards_are_those_of_the_rules() -> None:
    result = result_of(judged(), "2026-12-01T10:00:00+00:00")
    assert result is not None
    assert sum(award for award, out in zip(result.awards, result.cancelled, strict=True) if not out) == 21
    assert result.awards_text.count("(") == 4


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ({"board": "6"}, "height"),
        ({"difficulty": "34"}, "difficulty"),
        ({"dive": "407", "position": "X"}, "not a dive number"),
        ({"dive": "600", "position": "A"}, "two numbers"),
        ({"points": "61.20", **J}, "by the rules the awards give 71.40"),
        ({"conversion": "many"}, "conversion"),
    ],
)
def test_what_only_describes_is_left_out_with_a_doubt(values: dict[str, str], doubt: str) -> None:
    message = read(**values)
    assert doubt in message.doubts[0]
    assert message.athlete == "Ada Example"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"award_3": "7.3"}, "award of J3 is '7.3'"),
        ({"award_3": "11"}, "award of J3"),
        ({"award_8": "5"}, "7 judges have none there"),
        ({"judges": " ", "award_1": "5"}, "number of judges is missing"),
        ({"judges": "12"}, "12 judges"),
        ({"judges": "6", "synchro": "True"}, "6 judges of a synchronised pair"),
        ({"points": "-3"}, "points"),
        ({"points": "1e9"}, "points"),
        ({"penalty": "9"}, "penalty's code"),
        ({"event": "c"}, "event is 'c'"),
        ({"round": "two"}, "round"),
        ({"synchro": "maybe"}, "synchro"),
        ({"event_name": "a|b"}, "76 fields"),
    ],
)
def test_what_decides_about_points_is_read_in_full_or_not_at_all(values: dict[str, str], words: str) -> None:
    with pytest.raises(MessageError, match=words):
        parse(raw(**values))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"^",
        b"|^",
        b"hello",
        b"REFEREE|a",
        b"REFEREE|a|^",
        raw()[:-3],
        raw()[1:],
        raw() + raw(),
        b"REFEREE" + b"|" * 5000 + b"^",
        b"x" * (MAX_BYTES + 1),
        b"\xff\xfe" + raw(),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        parse(data)


def test_names_deceive_nobody() -> None:
    message = read(first_name_1="Ada\x00\x1b[31m", family_name_1="Ex\u0081ample\t" + "x" * 200, event_name="A\x07B")
    assert message.athlete.isprintable()
    assert len(message.athlete) <= 80
    assert message.event_name == "A B"
    unnamed = {"first_name_1": " ", "family_name_1": " "}
    assert read(diver_1="Ada Example - North", **unnamed).athlete == "Ada Example"
    assert read(diver_1=" ", **unnamed).athlete == ""


def test_other_kinds() -> None:
    assert parse(b"AVIDEO|b|DR1|2|EndOfEvent|^\r\n") == EventEnd("B", "DR1", "EndOfEvent")
    assert parse(b"AVIDEO|a|^") == EventEnd("A", "")
    assert parse(b"UPDATE|a|DR1|2|10.0.0.1|C:\\there|^") is None


_HALVES = st.integers(0, 20).map(lambda halves: halves / 2)
_NAME = st.sampled_from(["Ada", "Zoë", "O'Brien", "Müller", "Ştefan", "İlkay", "Ñandú", "李"])


@st.composite
def messages(draw: st.DrawFn) -> RefereeMessage:
    is_synchro = draw(st.booleans())
    count = draw(st.sampled_from(sorted(SYNCHRO_PANELS) if is_synchro else [3, 5, 7]))
    names = st.tuples(_NAME, _NAME).map(" ".join)
    athletes = tuple(draw(names) for _ in range(1 + is_synchro))
    return replace(
        ANNOUNCED,
        event=draw(st.sampled_from(["A", "B"])),
        athletes=athletes,
        clubs=tuple(draw(_NAME) for _ in athletes),
        is_synchro=is_synchro,
        judges=count,
        awards=tuple(draw(st.none() | _HALVES) for _ in range(count)),
        points=draw(st.none() | st.integers(0, 15000).map(lambda cents: cents / 100)),
        penalty=draw(st.none() | st.sampled_from(Penalty)),
        round=draw(st.integers(1, 11)),
        height_m=draw(st.sampled_from([1.0, 3.0, 5.0, 7.5, 10.0])),
        difficulty=draw(st.integers(12, 48).map(lambda tenths: tenths / 10)),
    )


@settings(max_examples=40)
@given(messages())
def test_what_is_written_is_read_back(message: RefereeMessage) -> None:
    assert replace(cast_referee(parse(compose(message))), doubts=()) == message


WRITTEN = [compose(message).decode("cp1252").split("|") for message in (announced(), judged())]


def cast_referee(message: Any) -> RefereeMessage:
    assert isinstance(message, RefereeMessage)
    return message


@given(
    st.binary(max_size=300)
    | st.lists(st.text(max_size=9), max_size=90).map(lambda f: ("|".join(["REFEREE", *f]) + "|^").encode())
)
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(MessageError):
        parse(data)


@given(st.integers(1, 73), st.text(max_size=100), st.booleans())
def test_any_field_may_hold_anything(place: int, text: str, is_judged: bool) -> None:
    fields = WRITTEN[is_judged].copy()
    fields[place] = text
    try:
        message = cast_referee(parse("|".join(fields).encode()))
    except MessageError:
        return
    texts = message.athlete + message.club + message.event_name + message.meet_title
    assert not {unicodedata.category(letter) for letter in texts} & {"Cc", "Zl", "Zp"}
    assert message.points is None or 0 <= message.points <= 300
