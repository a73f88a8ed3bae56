"""Tables and numbers as people write them: every form of the same table reads alike, and nothing is half-read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore.common.tables import Table, find_columns, listed, read_number, read_table, read_text, read_whole

CELLS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), max_size=8)


@given(st.integers(1, 5).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6)),
       st.sampled_from(",;\t"))  # fmt: skip
def test_a_written_table_is_read_back(rows: list[list[str]], separator: str) -> None:
    header = [f"column {index}" for index in range(len(rows[0]) if rows else 2)]
    if len(header) == 1:
        header, rows = [*header, "second"], [[*row, ""] for row in rows]
    written = io.StringIO()
    csv.writer(written, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    read = read_table(written.getvalue())
    assert read is not None
    assert list(read.header) == header
    assert [cells for _, cells in read.rows] == [tuple(row) for row in rows if any(row)]


def test_rows_may_end_early_where_a_comma_is_a_decimal_comma() -> None:
    read = read_table("one;two;three\na;83,7\nb;1;2;;\n\n;;\n \n")
    assert read is not None
    assert read.rows == ((2, ("a", "83,7", "")), (3, ("b", "1", "2")))


@pytest.mark.parametrize("text", ["", "\n\n", " \r\n,,,\n,,,"])
def test_nothing_is_no_table(text: str) -> None:
    assert read_table(text) is None


def test_columns_are_found_by_name() -> None:
    table = Table(("Start (s)", " SPLIT", "coach", ""), 3, ())
    names = {"start_s": ("starts",), "split": ("split",)}
    assert find_columns(table, names, ["split"]) == ({"start_s": 0, "split": 1}, ["coach"])
    with pytest.raises(UserError, match="line 3: there is no column path; got 'Start"):
        find_columns(table, names, ["path"])
    with pytest.raises(UserError, match=r"two columns are the split: 'Split' and 'split '"):
        find_columns(Table(("Split", "split "), 1, ()), names, [])


@pytest.mark.parametrize(
    ("text", "value"), [("83,7", 83.7), ("83.7", 83.7), ("-1", -1.0), ("1e2", 100.0), (".5", 0.5), ("3,", 3.0)]
)
def test_numbers(text: str, value: float) -> None:
    assert read_number(text, "score") == value


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "1e400", "9" * 5000, "1.234,5", "1,234.5", "1_000", "１７", "0x10", "1 2", "²", "8-3"]
)
def test_no_numbers(text: str) -> None:
    for read in (read_number, read_whole):
        with pytest.raises(UserError, match="score is ") as caught:
            read(text, "score")
        assert len(str(caught.value)) < 200


@given(st.integers(0, 2**53), st.sampled_from(["", ".0", ",0", ".", ".00"]))
def test_whole_numbers_as_spreadsheets_write_them(number: int, end: str) -> None:
    assert read_whole(f"{number}{end}", "frame") == number


@pytest.mark.parametrize("text", ["17.5", "-1", "1e17", "17,25"])
def test_no_whole_numbers(text: str) -> None:
    with pytest.raises(UserError, match=r"frame is .*whole number from 0"):
        read_whole(text, "frame")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    (tmp_path / "list.csv").write_bytes(mark + "José,é\n".encode(encoding))
    assert read_text(tmp_path / "list.csv", max_bytes=100) == ("José,é\n", ())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("José".encode("cp1252"), "not UTF-8"),
        ("path,score".encode("utf-16-le"), "NUL"),
        (b"\xff\xfea", "damaged UTF-16"),
        (b"\xff\xfe\x00\xd8a\x00", "damaged UTF-16"),
        (b"a\0b", "not a text file"),
        (b"x" * 101, "101 bytes"),
    ],
)
def test_no_texts(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(UserError, match=words):
        read_text(tmp_path / "list.csv", max_bytes=100)


def test_many_faults_are_counted() -> None:
    assert listed(["a", "b"]) == "a\n  b"
    assert listed([str(number) for number in range(30)]).endswith("\n  19\n  and 10 more")
