"""A live session, watched from outside: short here, but through everything that a session goes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_bench.cases import live
from mcore_bench.cases.live import DiveLine, Session, growth_mb, plan_soak
from mcore_bench.command import main
from mcore_bench.result import read_result


def session(memory_mb: list[float], *dives: DiveLine) -> Session:
    """A session with memory samples spread evenly over it."""
    samples = tuple((100.0 * (i + 1), memory) for i, memory in enumerate(memory_mb))
    return Session(dives, 100.0 * len(memory_mb), samples)


@pytest.mark.parametrize(
    ("later_mb", "expected_mb"),
    [
        ([400.0] * 12, 0.0),
        ([400.0 + i for i in range(12)], 11.0),
        ([400.0, 402.0] * 6, 0.0),
    ],
)
def test_growth_is_that_of_the_later_part(later_mb: list[float], expected_mb: float) -> None:
    # What fills up at the beginning is no growth.
    found = growth_mb(session([100.0, 200.0, 300.0, 400.0, *later_mb]))
    assert found == pytest.approx(expected_mb, abs=2.5)


def test_too_short_a_session_is_no_measurement() -> None:
    with pytest.raises(UserError, match="too short"):
        growth_mb(session([100.0, 200.0]))


@pytest.mark.parametrize(("hours", "pause_s"), [(0.02, 2.0), (0.5, 20.0)])
def test_the_meet_lasts_as_long_as_asked(hours: float, pause_s: float) -> None:
    address, meet = plan_soak(3, 3600 * hours, pause_s)
    seconds = meet.num_frames / meet.settings.rate
    assert 3600 * hours <= seconds < 3600 * hours * 1.3 + 40
    assert "pace=fast" in address


def test_a_session_runs_through(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "soak.json"
    arguments = ["--hours", "0.01", "--pause-s", "1", "--backend", "onnxruntime", "--threads", "1"]
    whatever_it_grows = ["--max-growth-mb", "100000"]
    assert main(["soak", "--bundle", str(bundle), *arguments, *whatever_it_grows, "--json", str(path)]) == 0
    (table,) = read_result(path).tables
    figures = dict(zip([column.heading for column in table.columns], table.rows[0], strict=True))
    assert isinstance(figures["dives"], int)
    assert figures["dives"] >= 2
    assert figures["found"] == figures["scored"] == figures["dives"]
    assert (figures["false alarms"], figures["frames dropped"]) == (0, 0)


@pytest.mark.parametrize(
    ("memory_mb", "status", "code"),
    [([400.0] * 16, "scored", 0), ([400.0] * 16, "failed", 1), ([400.0 + 20 * i for i in range(16)], "scored", 1)],
)
def test_growth_and_dives_without_a_score_fail(
    monkeypatch: pytest.MonkeyPatch, memory_mb: list[float], status: str, code: int
) -> None:
    monkeypatch.setattr(live, "run_session", lambda *_: session(memory_mb, DiveLine(1, status, 1.0, 2.5, 0, 20.0)))
    assert main(["soak", "--bundle", "any", "--hours", "0.01"]) == code


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["soak", "--hours", "0"], "allowed: 0.01 to 1000"),
        (["soak", "--json", "x.txt"], "ends in .json"),
        (["soak", "--hours", "0.01"], "mcore-run ended with code 2"),
    ],
)
def test_mistakes_are_named(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--bundle", "nowhere"]) == 2
    assert reason in capsys.readouterr().err
