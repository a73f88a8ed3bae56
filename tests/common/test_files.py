"""Files that are whole or not there, and what commands say of places that cannot be written to."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcore.common.errors import UserError, first_line, run_command
from mcore.common.files import replacing, write_text


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    assert write_text(path, "één") == len("één".encode())

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        fail()
    assert path.read_text(encoding="utf-8") == "één"
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


def test_two_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        assert {first.suffix, second.suffix} == {".mp4"}
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer one ends last


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*choose another place"):
        write_text(tmp_path / "file" / "below.txt", "")


def _mkdir_below_a_file(folder: Path) -> int:
    (folder / "file").write_text("")
    (folder / "file" / "below").mkdir()
    return 0


def _fill_the_disk(folder: Path) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def _copy_to_a_full_disk(folder: Path) -> int:
    (folder / "from").write_text("")
    raise OSError(errno.ENOSPC, "No space left on device", str(folder / "from"), None, str(folder / "to"))  # as shutil


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (_mkdir_below_a_file, "below: Not a directory"),
        (_fill_the_disk, "error: No space left"),
        (_copy_to_a_full_disk, "to: No space left"),
    ],
)
def test_commands_say_which_place_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Callable[[Path], int], text: str
) -> None:
    assert run_command(lambda: command(tmp_path)) == 2
    assert text in capsys.readouterr().err


def test_other_system_errors_are_ours_to_see() -> None:
    def fail() -> int:
        raise OSError("something inside")

    with pytest.raises(OSError, match="something inside"):
        run_command(fail)


def test_a_letter_that_the_terminal_lacks_is_escaped() -> None:
    code = "from mcore.common.errors import run_command; run_command(lambda: print('dive ↑ \\udcff') or 0)"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, rb"dive \u2191 \udcff"), done.stderr


def test_first_line_of_an_error() -> None:
    assert first_line(ValueError("a\nb")) == "a"
    assert first_line(EOFError()) == "EOFError"
