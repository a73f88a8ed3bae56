"""Tests of command lines made from dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import tyro

import mcore
from mcore.common.command_line import help_text, run_command_line, run_subcommand
from mcore.common.errors import UserError


@dataclass(frozen=True)
class Make:
    """Make a thing.

    A second paragraph.
    """

    place: tyro.conf.Positional[Path]
    """Where it is made, with a ``name``."""
    others: tyro.conf.Positional[tuple[Path, ...]] = ()
    """More places."""
    split: Literal["train", "test"] | None = None
    """One part
    of it."""
    size_mm: float | None = None
    """Its size."""
    rounds: int = 3
    """How often."""
    fast: bool = False
    """Hurry."""
    check: bool = True
    """Leave the check out."""

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise UserError(f"--rounds is {self.rounds}; allowed: from 1 on")


@dataclass(frozen=True)
class Drop:
    """Throw a thing away."""

    place: tyro.conf.Positional[Path]
    """What."""


DOC = """Make things.

    make a b
    make c

It is ``simple``:
one paragraph.
"""


def run(argv: list[str]) -> tuple[int, list[object]]:
    seen: list[object] = []

    def body(given: object) -> int:
        seen.append(given)
        return 0

    code = run_command_line(Make, body, prog="make", doc=DOC, argv=argv)
    return code, seen


def test_the_body_gets_the_arguments_and_its_exit_code_is_returned() -> None:
    code, seen = run(["a", "b", "--split", "test", "--no-check"])
    assert code == 0
    assert seen == [Make(Path("a"), (Path("b"),), "test", check=False)]


def test_a_mistake_exits_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["a", "--rounds", "0"]) == (2, [])
    assert capsys.readouterr().err == "error: --rounds is 0; allowed: from 1 on\n"
    with pytest.raises(SystemExit) as left:
        run(["a", "--nothing"])
    assert left.value.code == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run(["--version"])
    assert (left.value.code, capsys.readouterr().out) == (0, f"make {mcore.__version__}\n")


def test_help_reads_as_prose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert help_text(Make, prog="make", doc=DOC).rstrip().splitlines() == [
        "usage: make [OPTIONS] PLACE [OTHERS ...]",
        "",
        "Make things.",
        "",
        "    make a b",
        "    make c",
        "",
        "It is simple: one paragraph.",
        "",
        "arguments:",
        "  PLACE                   Where it is made, with a name.",
        "  [OTHERS ...]            More places.",
        "",
        "options:",
        "  -h, --help              show this help message and exit",
        "  --split {train,test}    One part of it.",
        "  --size-mm FLOAT         Its size.",
        "  --rounds INT            How often. (default: 3)",
        "  --fast                  Hurry.",
        "  --no-check              Leave the check out.",
    ]


def test_help_shows_the_values_of_a_preset() -> None:
    assert "How often. (default: 7)" in help_text(Make, prog="make", doc=DOC, default=Make(Path("a"), rounds=7))


@pytest.mark.parametrize(
    ("argv", "code", "seen", "out", "err"),
    [
        (["drop", "a"], 0, [Drop(Path("a"))], "", ""),
        (["drop", "--help"], 0, [], "usage: make drop [OPTIONS] PLACE\n\nThrow a thing away.\n", ""),
        ([], 0, [], "  drop                    Throw a thing away.\n", ""),
        (["--version"], 0, [], f"make {mcore.__version__}\n", ""),
        (["lose"], 2, [], "", "error: make has no command 'lose'; allowed: make, drop\n"),
    ],
)
def test_subcommands(
    argv: list[str], code: int, seen: list[Drop], out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got: list[object] = []

    def body(given: object) -> int:
        got.append(given)
        return 0

    try:
        left = run_subcommand({"make": (Make, body), "drop": (Drop, body)}, prog="make", doc=DOC, argv=argv)
    except SystemExit as exit_:
        left = int(str(exit_.code))
    printed = capsys.readouterr()
    assert (left, got, printed.err) == (code, seen, err)
    assert out in printed.out


def test_help_is_asked_for_before_the_arguments_of_another_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, seen = run(["a", "--", "--help"])
    assert "usage" not in capsys.readouterr().out
    assert code == 0 or not seen
