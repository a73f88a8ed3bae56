"""Start lists: whatever a spreadsheet writes is read, and whatever is wrong in it is named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore_runtime.competition import TEMPLATE, Competition, Entry, read_start_list
from mcore_runtime.competition.__main__ import main
from mcore_runtime.competition.entry import clean_difficulty, clean_text, difficulty_warning
from mcore_runtime.competition.start_list import parse_start_list

EXPECTED = (
    Entry(1, "Ada", "North", "107B", 3.1),
    Entry(2, "Bo", "South", "5253B", None),
)
PLAIN = "order,athlete,club,dive_number,difficulty\n1,Ada,North,107B,3.1\n2,Bo,South,5253B,\n"
FORMS = {
    "plain": PLAIN.encode(),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "carriage returns": PLAIN.replace("\n", "\r\n").encode(),
    "semicolons and decimal commas": PLAIN.replace("3.1", "3,1#").replace(",", ";").replace("3;1#", "3,1").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "UTF-16": PLAIN.encode("utf-16"),
    "quotes": b'order,athlete,club,dive_number,difficulty\n1,"Ada","North","107B","3.1"\n2,Bo,South,5253B,\n',
    "other order, case and names": b"DD, Dive No. ,CLUB,Name,Nr\n3.1,107b,North,Ada,1\n,5253B,South, Bo ,2.\n",
    "unsorted": b"order,athlete,club,dive_number,difficulty\n2,Bo,South,5253B,\n1,Ada,North,107B,3.1\n",
    "empty lines": PLAIN.replace("\n", "\n\n,,,,\n").encode(),
    "whole numbers as floats": PLAIN.replace("\n1,", "\n1.0,").replace("\n2,", "\n2.0,").encode(),
    "spellings of the numbers": PLAIN.replace("107B", " 107 b ").replace("5253B", "5253b").encode(),
    "no order": b"athlete,club,dive_number,difficulty\nAda,North,107B,3.1\nBo,South,5253B,\n",
    "more separators at the ends of lines": PLAIN.replace("\n", ",,\n").encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_list_is_read_in_any_form(form: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(FORMS[form])
    read = read_start_list(path)
    assert read.entries == EXPECTED
    assert read.warnings == ()


def test_names_keep_their_letters_and_lose_what_is_not_one(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes('athlete,dive_number\n"O\'Hara, Zoë\u202e\t Ma",107B\n'.encode())
    (entry,) = read_start_list(path).entries
    assert (entry.athlete, entry.order, entry.club, entry.state, entry.dive) == (
        "O'Hara, Zoë Ma",
        1,
        "",
        "waiting",
        None,
    )
    path.write_bytes("athlete,dive_number\nZoë,107B\n".encode("cp1252"))
    read = read_start_list(path)
    assert read.entries[0].athlete == "Zoë"
    assert "Windows-1252" in read.warnings[0]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Jose\u0301", "Jos\u00e9"),  # composed: one athlete, however it is typed
        ("Jos\u00e9", "Jos\u00e9"),
        ("A\u030angstro\u0308m", "\u00c5ngstr\u00f6m"),
        ("\u1112\u1161\u11ab", "\ud55c"),  # Korean by its letters
        ("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"),  # Persian
        ("\u0639\u0644\u06cc\u0650\u200c\u0631", "\u0639\u0644\u06cc\u0650\u200c\u0631"),  # with a vowel
        ("\u0dc1\u0dca\u200d\u0dbb\u0dd3", "\u0dc1\u0dca\u200d\u0dbb\u0dd3"),  # Sinhala Sri
        ("\u0d05\u0d28\u0d4d\u200d", "\u0d05\u0d28\u0d4d\u200d"),  # Malayalam, the joiner ends the word
        ("\u09b0\u200d\u09cd\u09af", "\u09b0\u200d\u09cd\u09af"),  # Bengali, before the virama
        ("Jo\u200dhn\u200c", "John"),
        ("\u200d\ufeffJo\u00adhn\u202e", "John"),
        ("\u0639\u0644\u06cc\u200c", "\u0639\u0644\u06cc"),  # joins nothing
    ],
)
def test_joiners_stay_where_they_spell(name: str, kept: str) -> None:
    (entry,) = parse_start_list(f"athlete,dive_number\n{name},107B\n").entries
    assert entry.athlete == kept
    assert clean_text(kept, "athlete") == kept


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Ada,107B,3,1", "it has 4 cells, the columns are 5|beyond"),
        ("Ada,107B,3,1,2,1", "'1' is beyond the last column"),
        (f"Ada,107B,3.1,{'9' * 5000},1", "order is '999"),
        ("Ada,107B,1e400,1,1", "difficulty is '1e400'"),
        ("Ada,107B,3_1,1,1", "difficulty is"),
        (f"{'A' * 200_000},107B,3.1,1,1", "field larger than field limit"),
        (f"Ada,{'1' * 5000}B,3.1,1,1", "is not a dive number"),
        ("Ada,107B,3.1,1.5,1", "order is '1.5'"),
    ],
)
def test_no_line_is_half_read(line: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        parse_start_list(f"athlete,dive_number,difficulty,order,round\n{line}\n")
    assert len(str(caught.value)) < 600


def test_every_bad_line_is_named_and_nothing_is_read() -> None:
    text = (
        "order,athlete,club,dive_number,difficulty\n"
        "1,Ada,,107B,3.1\n"
        "2,,,407C,\n"
        "\n"
        "x,Cy,,999Z,nine\n"
        "1,Di,,205B,3.0\n"
        "5,Ed,,205B,3.0,more\n"
    )
    with pytest.raises(UserError) as caught:
        parse_start_list(text)
    said = str(caught.value)
    for words in ("line 3: athlete", "line 5: order is 'x'", "'999Z'", "'nine'", "line 6: order 1 is already on line 2",
                  "line 7: 'more' is beyond the last column", "4 mistake"):  # fmt: skip
        assert words in said
    assert "line 2:" not in said


def test_hundreds_of_bad_lines_do_not_fill_the_screen() -> None:
    with pytest.raises(UserError, match="and 80 more"):
        parse_start_list("athlete,dive_number\n" + "Ada,000\n" * 100)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("athlete,dive_number\n", "no line below"),
        ("order,name\n1,Ada\n", "no column dive_number"),
        ("athlete,name,dive_number\nAda,Ada,107B\n", "two columns are the athlete"),
        ('athlete,dive_number\n"Ada,107B\n', "quotation mark"),
        ("athlete,dive_number,order\nAda,107B,0\n", "whole number from 1"),
        ("athlete,dive_number,order\nAda,107B,²\n", "whole number from 1"),
        ("athlete,dive_number,difficulty\nAda,107B,31\n", "0.9 to 6"),
        ("athlete,dive_number,difficulty\nAda,107B,nan\n", "0.9 to 6"),
        (f"athlete,dive_number\n{'A' * 200},107B\n", "200 letters"),
    ],
)
def test_lists_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_start_list(text)


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read.*mcore_runtime.competition"):
        read_start_list(tmp_path / "none.csv")
    (tmp_path / "zip.csv").write_bytes(b"PK\x03\x04\0\0\0")
    with pytest.raises(UserError, match="not a text file"):
        read_start_list(tmp_path / "zip.csv")
    (tmp_path / "long.csv").write_bytes(b"x" * 3_000_000)
    with pytest.raises(UserError, match="at most"):
        read_start_list(tmp_path / "long.csv")


def test_an_order_that_begins_anew_in_each_round_is_numbered_on() -> None:
    text = "round,order,athlete,dive_number\n2,1,Ada,107B\n1,2,Bo,407C\n1,1,Ada,205B\n2,2,Bo,5253B\n"
    read = parse_start_list(text)
    assert [(e.order, e.round, e.athlete) for e in read.entries] == [
        (1, 1, "Ada"), (2, 1, "Bo"), (3, 2, "Ada"), (4, 2, "Bo"),
    ]  # fmt: skip
    assert "numbered on" in read.warnings[0]
    with pytest.raises(UserError, match="line 3: order 1 in round 1 is already on line 2"):
        parse_start_list("round,order,athlete,dive_number\n1,1,Ada,107B\n1,1,Bo,407C\n")


@pytest.mark.parametrize(
    ("number", "difficulty", "words"),
    [
        ("107B", 3.1, None),  # 3 m
        ("107B", 3.0, None),  # 10 m
        ("407C", 3.4, None),
        ("407C", 3.8, None),  # 1 and 5 m
        ("407C", 3.9, "3.8 from 1 m, 3.4 from 3 m, 3.8 from 5 m, 3.4 from 7.5 m, 3.2 from 10 m"),
        ("407C", 3.9, "not in the rules of World Aquatics, 25 June 2025"),
        ("108C", 3.2, "3.4 from 3 m"),
        ("6243D", 3.2, None),
        ("6243D", 2.2, "3.2 from 10 m"),
        ("113B", 1.8, None),  # flying
        ("113B", 2.2, "1.9 from 1 m, 1.8 from 3 m"),
        ("640A", 1.7, None),
        ("5152A", 3.3, "cannot be checked: rule 1.6.4 does not allow A (straight)"),
        ("107A", 3.3, "cannot be checked: the rules have no value"),
        ("407C", 2.0, "right only in the first two rounds of synchronised events"),
        (None, 3.0, None),
        ("407C", None, None),
    ],
)
def test_difficulties_are_compared_with_the_rules(
    number: str | None, difficulty: float | None, words: str | None
) -> None:
    warning = difficulty_warning(number, difficulty)
    assert (warning is None) == (words is None)
    assert words is None or words in str(warning)


def test_the_first_two_rounds_of_synchronised_events_have_an_assigned_difficulty() -> None:
    warnings = [difficulty_warning("407C", 2.0, round_) for round_ in (None, 1, 2, 3)]
    assert [warning is None for warning in warnings] == [False, True, True, False]
    assert difficulty_warning("407C", 2.1, 1) is not None
    read = parse_start_list("athlete,dive_number,difficulty,round\nAda,407C,2.0,1\nAda,407C,2.0,3\n")
    assert [warning[:7] for warning in read.warnings] == ["line 3:"]


def test_a_wrong_difficulty_is_a_warning_with_its_line() -> None:
    read = parse_start_list("athlete,dive_number,difficulty,coach\nAda,407C,3.4,X\nBo,407C,4.4,Y\n")
    assert len(read.entries) == 2
    assert read.warnings[0] == "line 1: the column 'coach' is not used"
    assert read.warnings[1].startswith("line 3: difficulty 4.4 of 407C is not in the rules")


@pytest.mark.parametrize("value", ["3;2", float("inf"), -1.0, "0"])
def test_no_difficulties(value: str | float) -> None:
    with pytest.raises(UserError):
        clean_difficulty(value)


def test_the_check_names_the_edition_where_a_list_has_difficulties(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, named in (("dive_number,difficulty\nAda,107B,3.1\n", True), ("dive_number\nAda,107B\n", False)):
        (tmp_path / "list.csv").write_text("athlete," + text)
        assert main([str(tmp_path / "list.csv")]) == 0
        assert ("World Aquatics, 25 June 2025" in capsys.readouterr().out) is named


def test_the_template_is_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert printed == TEMPLATE
    (tmp_path / "list.csv").write_text(printed)
    assert main([str(tmp_path / "list.csv")]) == 0
    shown = capsys.readouterr().out
    assert "Ada Example" in shown
    assert "warning" not in shown
    (tmp_path / "list.csv").write_text(printed + "9,1,,x\n")
    assert main([str(tmp_path / "list.csv")]) == 2
    assert "line 6" in capsys.readouterr().err


@settings(max_examples=200)
@given(st.text(max_size=200))
def test_no_text_does_anything_but_load_or_explain(text: str) -> None:
    try:
        read = parse_start_list("athlete,dive_number,order,round\n" + text)
    except UserError:
        return
    orders = [entry.order for entry in read.entries]
    assert orders == sorted(set(orders))


HEIGHTS = """athlete,dive_number,Height,difficulty
Ada,407C,3,
Bo,407C,"7,5 m",
Cy,407C,10m,3.2
Di,407C,10,3.4
Ed,6243D,3,
Fy,,3,
Gi,107B,,
"""


def test_the_height_gives_a_dive_its_difficulty() -> None:
    read = parse_start_list(HEIGHTS)
    assert [(entry.height_m, entry.difficulty) for entry in read.entries] == [
        (3, 3.4), (7.5, 3.4), (10, 3.2), (10, 3.4), (3, None), (3, None), (None, None)
    ]  # fmt: skip
    assert [warning.partition(":")[0] for warning in read.warnings] == ["line 5", "line 6"]
    assert "difficulty 3.4 of 407C is not in the rules" in read.warnings[0]
    assert "(3.2 from 10 m)" in read.warnings[0]
    assert "6243D has no difficulty from 3 m: armstand dives" in read.warnings[1]


@pytest.mark.parametrize("height", ["2", "30", "three", "3,1", "-3", "3 m high"])
def test_no_heights(height: str) -> None:
    with pytest.raises(UserError, match=r"line 2: height is .*: 1, 3, 5, 7\.5, 10"):
        parse_start_list(f'athlete,dive_number,height\nAda,407C,"{height}"\n')


def test_a_difficulty_by_the_rules_follows_its_dive_and_height() -> None:
    text = "athlete,dive_number,height,difficulty\nAda,407C,3,\nBo,407C,3,3.3\nCy,407C,,\n"
    competition = Competition.begin(parse_start_list(text).entries)
    assert competition.edit(1, {"height_m": "10"}).entries[0].difficulty == 3.2
    assert competition.edit(1, {"dive_number": "107B"}).entries[0].difficulty == 3.1
    assert competition.edit(1, {"dive_number": None}).entries[0].difficulty is None
    assert competition.edit(1, {"height_m": 10, "difficulty": 3.3}).entries[0].difficulty == 3.3
    assert competition.edit(2, {"height_m": "10"}).entries[1].difficulty == 3.3, "the list's own"
    assert competition.edit(3, {"height_m": "10"}).entries[2].difficulty == 3.2


@pytest.mark.parametrize(
    ("year", "edition", "warned"), [("2017", "FINA, 12 September 2017", True), ("2025", "World", False)]
)
def test_the_edition_can_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], year: str, edition: str, warned: bool
) -> None:
    (tmp_path / "list.csv").write_text("athlete,dive_number,height,difficulty\nAda,107B,3,3.1\nBo,640A,10,\n")
    assert main([str(tmp_path / "list.csv"), "--edition", year]) == 0
    printed = capsys.readouterr().out
    assert f"compared with the rules of {edition}" in printed
    assert ("have no armstand dives with inward rotation" in printed) is warned
    assert ("1.7" in printed) is not warned
