"""Lists of dives as people and programs write them: read in full, or refused with the list, the line and the reason."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore.data.cache_folder import cache_folder
from mcore.data.commands.main import main
from mcore.data.manifest import DiveRecord, read_manifest, scan_manifest, write_manifest
from mcore.data.sources import read_source

GOOD = DiveRecord(Path("a.mp4"), "107B", 83.7, 3.1, "train", 96, (17, 52), 1.5, 4.5)
HEADER = "path,dive_number,score,difficulty,split,num_frames,flight_frame,entry_frame,start_s,end_s"
ROW = "a.mp4,107B,83.7,3.1,train,96,17,52,1.5,4.5"
STAGES = "path,dive_number,score,take_off_points,flight_points,entry_points"
PLAIN = f"{HEADER}\n{ROW}\n"
SEMICOLONS = PLAIN.replace(",", ";").replace(".", ",").replace("a,mp4", "a.mp4")
CSV_FORMS = {
    "plain": PLAIN.encode(),
    "semicolons and decimal commas": SEMICOLONS.encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16 of the other kind": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "carriage returns": PLAIN.replace("\n", "\r\n").encode(),
    "names in other letters and with spaces": PLAIN.replace("split", " Split ").replace("score", "SCORE").encode(),
    "split in other letters": PLAIN.replace("train", " Train").encode(),
    "empty last rows": (PLAIN + "\n,,,,,,,,,\n  \n").encode(),
    "more separators at the ends of lines": PLAIN.replace("\n", ",,\n").encode(),
    "whole numbers as floats": PLAIN.replace("96,17,52", "96.0,17.0,52.0").encode(),
    "quoted decimal comma": PLAIN.replace("83.7", '"83,7"').encode(),
    "another spelling of the number": PLAIN.replace("107B", " 107 b ").encode(),
    "notes of one's own": PLAIN.replace("\n", ",note on wind\n", 1).replace("4.5\n", '4.5,"gusts, rain"\n').encode(),
}


@pytest.mark.parametrize("form", CSV_FORMS)
def test_a_csv_list_is_read_in_any_form(form: str, tmp_path: Path) -> None:
    path = tmp_path / "dives.csv"
    path.write_bytes(CSV_FORMS[form])
    (read,) = read_manifest(path)
    assert vars(read) == vars(GOOD) | {"path": tmp_path / "a.mp4", "listed_at": f"{path}, line 2"}


JSON_ROW = (
    '{"path": "a.mp4", "dive_number": "107B", "score": 83.7, "difficulty": 3.1, "split": "train", "num_frames": 96, '
    '"transition_frames": [17, 52], "start_s": 1.5, "end_s": 4.5}\n'
)
JSON_FORMS = {
    "plain": JSON_ROW.encode(),
    "byte order mark": b"\xef\xbb\xbf" + JSON_ROW.encode(),
    "UTF-16": JSON_ROW.encode("utf-16"),
    "empty lines": f"{JSON_ROW}\r\n   \r\n".encode(),
    "whole numbers as floats": JSON_ROW.replace("[17, 52]", "[17.0, 52.0]").replace("96", "96.0").encode(),
    "another spelling of the number": JSON_ROW.replace("107B", "107b\u00a0").encode(),
    "line separators within a text": JSON_ROW.replace("{", '{"note": "a\u2028b", ').encode(),
}


@pytest.mark.parametrize("form", JSON_FORMS)
def test_json_lines_are_read_in_any_form(form: str, tmp_path: Path) -> None:
    path = tmp_path / "dives.jsonl"
    path.write_bytes(JSON_FORMS[form])
    (read,) = read_manifest(path)
    assert vars(read) == vars(GOOD) | {"path": tmp_path / "a.mp4", "listed_at": f"{path}, line 1"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # decimal commas between commas
        ("path,dive_number,score\na.mp4,107B,83,7\n", "line 2: '7' is beyond the last column"),
        ("path,dive_number,difficulty,score\na.mp4,107B,3,1,83,7\n", "line 2: '83' is beyond the last column"),
        ("path,dive_number,score,num_frames,split\na.mp4,107B,83,7\n", "line 2: it has 4 cells, the columns are 5"),
        ("path,dive_number,score,num_frames\na.mp4,107B,83,7,\n", "line 2: it has a cell beyond the last column"),
        # columns that would be ignored
        ("path,dive_number,score,start,end\na.mp4,107B,83,1,3\n", "'start' means nothing here; did you mean start_s"),
        ("path,dive_number,score,dificulty\na.mp4,107B,83,3\n", "did you mean difficulty"),
        ("path,dive_number,score,athlete\na.mp4,107B,83,Ada\n", "'athlete' means nothing here"),
        ("path,dive_number,score,Score \na.mp4,107B,83,84\n", "two columns are the score: 'score' and 'Score'"),
        ("path,dive_number,split\na.mp4,107B,train\n", "no column score; got 'path', 'dive_number', 'split'"),
        ("a.mp4,107B,83\n", "no column path"),
        ("", "lists no dives"),
        # columns that go together
        ("path,dive_number,score,flight_frame,entry_frame\na.mp4,107B,83,30,\n", "line 2: .*both or neither"),
        ("path,dive_number,score,flight_frame,entry_frame\na.mp4,107B,83,,60\n", "line 2: .*both or neither"),
        (f"{STAGES}\na.mp4,107B,83,-1,,-2\n", "take_off_points is -1.0, flight_points is None, .*; give all or none"),
        (f"{STAGES}\na.mp4,107B,83,-1,2,-2\n", "line 2: stage_points hold 2.0; .*at most 0"),
        # values
        ("path,dive_number,score\na.mp4,107B,\n", "line 2: .*missing required field `score`"),
        ("path,dive_number,score\na.mp4,107B,nan\n", "score is 'nan'"),
        ("path,dive_number,score,num_frames\na.mp4,107B,83,17.5\n", "num_frames is '17.5'; give a whole number"),
        ("path,dive_number,score\na.mp4,107B,1e400\n", "score is '1e400'"),
        (f"path,dive_number,score\na.mp4,107B,{'9' * 5000}\n", "score is '999"),
        ("path,dive_number,score\na.mp4,107B,true\n", "score is 'true'"),
        ("path,dive_number,score\na.mp4,407,83\n", "line 2: '407' is not a dive number"),
        ("path,dive_number,score\na.mp4,None,83\n", "line 2: 'None' is not a dive number"),
        ("path,dive_number,score,split\na.mp4,107B,83,tests\n", "`split`"),
        ("path,dive_number,score,start_s,end_s\na.mp4,107B,83,3,2\n", "the clip ends at 2 s and begins at 3 s"),
        # paths and text
        ("path,dive_number,score\nvideos\\a.mp4,107B,83\n", r"backslashes; write it with /"),
        (f"path,dive_number,score\n{'a' * 300}.mp4,107B,83\n", "too long for a file"),
        (f"path,dive_number,score\n{'a/' * 3000}b.mp4,107B,83\n", "too long for a file"),
        (f"path,dive_number,score\n{'a' * 200_000},107B,83\n", "field larger than field limit"),
        ("path,dive_number,score\na\0.mp4,107B,83\n", "NUL"),
        ('path,dive_number,score\n"a\n.mp4",107B,83\n', "control characters"),
        ('path,dive_number,score\n"a.mp4,107B,83\n', "is a quotation mark left open"),
    ],
)
def test_no_csv_list_is_half_read(text: str, reason: str, tmp_path: Path) -> None:
    check_refused(tmp_path / "dives.csv", text, reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ('"transition_frames": [1.36, 2.92]', "Expected `int`, got `float`.*transition_frames"),
        ('"transition_frames": "17"', "Expected `array | null`, got `str`"),
        ('"transition_frames": [17]', "length 2"),
        ('"transition_frames": [true, 52]', "Expected `int`, got `bool`"),
        ('"stage_points": [-1.0, -2.0]', "length 3"),
        ('"stage_points": [-1.0, -2.0, "0"]', "Expected `float`, got `str`"),
        ('"stage_points": [0, -2, 0.5]', "stage_points hold 0.5; .*at most 0"),
        ('"stage_points": [0, -1e400, 0]', "stage_points hold -inf"),
        ('"score": true', "Expected `float`, got `bool`.*score"),
        ('"score": "83.7"', "Expected `float`, got `str`.*score"),
        ('"score": null', "got `null`.*score"),
        ('"score": 1e400', "the score is inf"),
        (f'"score": {"9" * 5000}', "line 1: "),
        (f'"score": {"9" * 4000}', "line 1: .*score"),
        (f'"num_frames": {"9" * 4000}', "frame number of 4000 digits"),
        ('"num_frames": 1e30', "frame number of 31 digits"),
        ('"score": NaN', "NaN is not a number of JSON"),
        ('"dive_number": null', "Expected `str`, got `null`.*dive_number"),
        ('"dive_number": 107', "Expected `str`, got `int`.*dive_number"),
        ('"split": "Train"', "split"),
        ('"start": 1, "end": 3', "'start' means nothing here; did you mean start_s"),
        ('"listed_at": "x"', "'listed_at' means nothing here"),
        ('"origin": "drawn"', "origin"),
        ('"origin": "Real"', "origin"),
        ('"origin": true', "origin"),
        ('"event": 7', "event"),
        ('"event": " "', "the event is ' '; name the competition"),
        ('"event": "Olympics", "origin": "rendered"', "name the competition of a real dive"),
        ('"path": "a.mp4"', "the name 'path' is there twice"),
        ('"path": "a\\u0000b.mp4"', "control characters"),
        ('"path": "videos\\\\a.mp4"', "backslashes"),
        ('"path": ""', "the path is empty"),
        ('"path": "\\ud800.mp4"', "line 1: the path .* is no text"),
        ('"score": ' + "[" * 100_000 + "]" * 100_000, "line 1: not JSON that can be read"),
    ],
)
def test_json_values_have_types(changes: str, reason: str, tmp_path: Path) -> None:
    name = changes.split('"')[1]
    row = {"path": "a.mp4", "dive_number": "107B", "score": 83.7}
    if name != "path" or "twice" not in reason:
        row.pop(name, None)
    check_refused(tmp_path / "dives.jsonl", json.dumps(row)[:-1] + f", {changes}}}\n", reason)


@pytest.mark.parametrize("text", ["[1, 2]", "null", "3", "{", "{'path': 1}", "", "\ufeff\ufeff{}"])
def test_lines_that_are_no_objects(text: str, tmp_path: Path) -> None:
    check_refused(tmp_path / "dives.jsonl", text + "\n", "lists no dives|line 1: ")


def check_refused(path: Path, text: str, reason: str) -> None:
    """The error names the list and says what is wrong, in one line of readable length."""
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(UserError, match=reason) as caught:
        read_manifest(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    assert len(said) < 1500


def test_one_bad_line_does_not_hide_another_and_the_rest_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "dives.csv"
    path.write_text("path,dive_number,score\na.mp4,107B,50\nb.mp4,999Z,50\nc.mp4,407C,x\nd.mp4,407C,60\n")
    with pytest.raises(UserError) as caught:
        read_manifest(path)
    for words in ("2 lines of", f"{path}, line 3: '999Z'", f"{path}, line 4: score is 'x'"):
        assert words in str(caught.value)
    bad: list[UserError] = []
    assert [record.dive_number for record in read_manifest(path, bad.append)] == ["107B", "407C"]
    assert [str(error).partition(": ")[0] for error in bad] == [f"{path}, line 3", f"{path}, line 4"]


def test_spellings_of_a_number_are_one_group(tmp_path: Path) -> None:
    path = tmp_path / "dives.csv"
    path.write_text("path,dive_number,score\n" + "".join(f"{i}.mp4,{n},50\n" for i, n in enumerate(SPELLINGS)))
    assert {record.dive_number for record in read_manifest(path)} == {"107B"}
    labels = tmp_path / "labels.jsonl"
    rows = [LABELS | {"clip": f"01/{i}", "dive_number": number} for i, number in enumerate(SPELLINGS)]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8-sig")
    assert {dive.record.dive_number for dive in read_source(labels).dives if dive.record} == {"107B"}


SPELLINGS = ("107B", "107b", "107B ", " 107 b", "107B\u00a0", "107\u2009B")
LABELS: dict[str, Any] = {
    "clip": "01/1", "split": "train", "dive_number": "107B", "difficulty": 3.1, "score": 62.0, "frames": 90,
    "events": [[29, "Forward -> 3.5 Soms.Pike"], [59, "3.5 Soms.Pike -> Entry"]],
}  # fmt: skip


def test_a_link_to_a_list_has_one_meaning(tmp_path: Path) -> None:
    (tmp_path / "store" / "clips").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    real, link = tmp_path / "store" / "dives.csv", tmp_path / "work" / "today.csv"
    real.write_text("path,dive_number,score\nclips/a.mp4,107B,50\n")
    link.symlink_to(real)
    assert read_manifest(link) == read_manifest(real)
    assert read_manifest(link)[0].path == tmp_path / "store" / "clips" / "a.mp4"
    assert cache_folder(link, None, False) == cache_folder(real, None, False) == tmp_path / "store" / ".clips"
    assert [dive.name for dive in read_source(link).dives] == ["clips/a.mp4"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_list_whose_clips_are_all_missing_is_an_error(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"dives{suffix}"
    if suffix == ".csv":
        path.write_text("path,dive_number,score\nnone.mp4,107B,50\nnor/this,407C,50\n")
    else:
        write_manifest(path, [DiveRecord(tmp_path / "none.mp4", "107B", 50.0)])
    assert main(["check", str(path)]) == 1
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "relative to the list itself" in printed
    assert "--frames" not in printed


def test_check_names_a_bad_number_by_list_and_line_and_checks_the_rest(tmp_path: Path) -> None:
    path, report = tmp_path / "dives.csv", tmp_path / "report.json"
    path.write_text("path,dive_number,score\na.mp4,107X,50\nb.mp4,407C,50\n")
    (tmp_path / "b.mp4").write_bytes(b"x")
    assert main(["check", str(path), "--json", str(report)]) == 1
    found = json.loads(report.read_text())
    (error,) = [each for each in found["findings"] if each["severity"] == "error"]
    assert error["where"] == "dives.csv, line 2"
    assert error["message"].startswith("'107X' is not a dive number")
    assert found["dive_numbers"] == {"407C": {"none": 1}}


def test_convert_leaves_out_a_bad_number_and_names_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "labels.jsonl"
    rows = [LABELS, LABELS | {"clip": "01/2", "dive_number": "banana"}, LABELS | {"clip": "01/3"}]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["convert", str(labels), "--out", str(tmp_path / "dives.jsonl")]) == 0
    assert f"left out 01/2: {labels}, line 2: 'banana' is not a dive number" in capsys.readouterr().err
    assert len(read_manifest(tmp_path / "dives.jsonl")) == 2


@pytest.mark.parametrize(
    "line",
    [
        "[" * 200_000,
        json.dumps(LABELS | {"clip": "a\0b"}),
        json.dumps(LABELS | {"clip": "x" * 300}),
        json.dumps(LABELS).replace("90", "9" * 5000),
        json.dumps(LABELS).replace("90", "9" * 4000),
        json.dumps(LABELS).replace("62.0", "1e400"),
        json.dumps(LABELS).replace("62.0", "true"),
        json.dumps(LABELS | {"events": [[1.5, "x"]]}),
        json.dumps(LABELS | {"events": {}}),
    ],
)
def test_labels_that_no_data_set_has_are_findings(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, report = tmp_path / "labels.jsonl", tmp_path / "report.json"
    labels.write_text(json.dumps(LABELS) + "\n" + line + "\n")
    assert main(["check", str(labels), "--json", str(report)]) == 1
    assert json.loads(report.read_text())["errors"] >= 1
    assert "Traceback" not in capsys.readouterr().err


@settings(max_examples=150)
@given(st.binary(max_size=300), st.sampled_from(["dives.csv", "dives.jsonl"]))
def test_no_file_does_anything_but_load_or_explain(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes((b"path,dive_number,score\n" if path.suffix == ".csv" else b"") + data)
    try:
        found = list(scan_manifest(path))
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    for line, each in found:
        assert isinstance(each, DiveRecord) or str(each).startswith(f"{path}, line {line}: ")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from([*(name for name in vars(GOOD) if name != "listed_at"), "note"]), VALUES))
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "typed.jsonl"
    row = {"path": "a.mp4", "dive_number": "107B", "score": 83.7, **changes}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    ((_, read),) = scan_manifest(path)
    if isinstance(read, UserError):
        return
    assert type(row["score"]) in (int, float)
    assert read.score == row["score"]
    assert read.path == path.parent / row["path"]
    for name in ("difficulty", "split", "num_frames", "start_s", "end_s"):
        assert getattr(read, name) == row.get(name)
        assert not isinstance(row.get(name), bool)
    frames = row.get("transition_frames")
    assert read.transition_frames == (frames if frames is None else tuple(frames))


@pytest.mark.parametrize("listed", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["NFC", "NFD", "other in part"])
def test_names_are_found_whether_their_letters_are_composed_or_not(tmp_path: Path, listed: str, named: str) -> None:
    def spell(form: str, text: str) -> str:
        if form == "other in part":
            return "".join(unicodedata.normalize("NFD" if k % 2 else "NFC", letter) for k, letter in enumerate(text))
        return unicodedata.normalize(form, text)  # type: ignore[arg-type]

    there = tmp_path / spell(named, "Équipe Å") / spell(named, "José Müller.mp4")
    there.parent.mkdir()
    there.write_bytes(b"x")
    row = {"path": spell(listed, "Équipe Å/José Müller.mp4"), "dive_number": "107B", "score": 83.7}
    (tmp_path / "dives.jsonl").write_text(json.dumps(row) + "\n")
    assert [dive.path for dive in read_manifest(tmp_path / "dives.jsonl")] == [there]


def test_a_file_of_exactly_the_name_comes_first_and_a_missing_one_keeps_its_name(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "é.mp4") for form in ("NFC", "NFD")]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    rows = [{"path": name, "dive_number": "107B", "score": 1.0} for name in (*names, "ü/é.mp4")]
    (tmp_path / "dives.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [dive.path for dive in read_manifest(tmp_path / "dives.jsonl")] == [
        tmp_path / name for name in (*names, "ü/é.mp4")
    ]


def test_a_bad_line_is_numbered_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dives.csv"
    path.write_text("path,dive_number,score\na.mp4,107B,x\n")
    assert main(["check", str(path)]) == 1
    printed = "".join(capsys.readouterr().out.split())
    assert printed.count("line2") == 1
