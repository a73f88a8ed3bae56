"""Names that would command a terminal are shown, not obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.common.errors import UserError, run_command
from mcore.common.printable import printable, printable_message
from mcore_runtime.score import main as score

NASTY = "a\x1b]0;title\x07\x1b[2Jb\x9b31m\r\u202egpj"


def test_what_is_escaped_and_what_stays() -> None:
    assert printable(NASTY) == r"a\x1b]0;title\x07\x1b[2Jb\x9b31m\r\u202egpj"
    for text in ("José\tGarcía\n", "می\u200cخواهم", "ක්\u200dෂ", "跳水 🤿", "C:\\x1b"):
        assert printable(text) == text


@given(st.text())
def test_nothing_that_commands_remains(text: str) -> None:
    shown = printable(text)
    assert all(letter.isprintable() or letter in "\n\t" or ord(letter) > 0x9F for letter in shown)
    assert printable(shown) == shown


def test_a_name_begins_no_line_of_its_own() -> None:
    assert printable_message("a\nerror: b\x1b.mp4 is empty") == r"a\nerror: b\x1b.mp4 is empty"
    assert printable_message("2 lines are no dives:\n  one\n  two") == "2 lines are no dives:\n  one\n  two"


@pytest.mark.parametrize("error", [UserError("v\n#1: 99.9 is missing"), FileNotFoundError(2, "gone", "v\n#1: 99.9")])
def test_a_line_feed_in_a_name_is_no_line_of_an_error(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise error

    assert run_command(fail) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"error: v\n#1: 99.9")


@pytest.mark.parametrize("error", [UserError(f"{NASTY} is missing"), FileNotFoundError(2, "gone", NASTY)])
def test_messages_of_commands(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        print(f"reading {NASTY}")
        raise error

    assert run_command(fail) == 2
    out, err = capsys.readouterr()
    assert out == "reading " + printable(NASTY) + "\n"
    assert printable(NASTY) in err
    assert "\x1b" not in err


def test_file_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score([str(tmp_path / "bundle\x1b[2J"), str(tmp_path / NASTY), "--any-exemplar"]) == 2
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert r"bundle\x1b[2J" in err
