"""The long run: short here, but through everything that a session goes through."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_bench.live import soak
from mcore_bench.live.soak import Sample, Soak, describe, main, plan_soak


def result(memory_mb: list[float], stream_s: float = 7200.0) -> Soak:
    """A session with memory samples spread evenly over it."""
    step_s = stream_s / len(memory_mb)
    samples = tuple(Sample((i + 1) * step_s, i, memory) for i, memory in enumerate(memory_mb))
    return Soak(
        source="synthetic://meet", backend="onnxruntime", precision="fp32", bundle_sha256="0" * 64, stream_s=stream_s,
        took_s=600.0, dives=40, found=39, false_alarms=1, scored=39, unscored=1, dropped=0,
        time_to_score_ms={"p50": 24.0, "max": 60.0}, samples=samples, created="2026-11-28T00:00:00+00:00",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("memory_mb", "growth_mb"),
    [
        ([100.0, 400, 400, 400, 400, 400, 400, 400], 0.0),  # filling up at the beginning is none
        ([100.0, 400, 401, 402, 403, 404, 405, 406], 6.0),
        ([100.0, 400, 402, 400, 402, 400, 402, 400], 0.0),
    ],
)
def test_growth_is_that_of_the_later_part(memory_mb: list[float], growth_mb: float) -> None:
    assert result(memory_mb).growth_mb == pytest.approx(growth_mb, abs=0.5)


def test_too_short_a_stream_is_no_measurement() -> None:
    with pytest.raises(UserError, match="too short"):
        _ = result([100.0, 200.0]).growth_mb


def test_a_result_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    text = describe(result([100.0, 400, 401, 402, 403, 404, 405, 406]))
    assert "39 of 40 found, 1 false alarms, 39 scored, 1 without a score" in text
    assert "100 MB after 15 minutes, 400 to 406 MB in the last three quarters, +6.0 MB" in text


@pytest.mark.parametrize(("hours", "pause_s"), [(0.02, 2.0), (0.5, 20.0)])
def test_the_meet_lasts_as_long_as_asked(hours: float, pause_s: float) -> None:
    address, meet = plan_soak(3, 3600 * hours, pause_s)
    seconds = meet.num_frames / meet.settings.rate
    assert 3600 * hours <= seconds < 3600 * hours * 1.3 + 40
    assert "pace=fast" in address


def test_a_session_runs_through(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(soak, "_LOOK_S", 0.02)
    arguments = ["--bundle", str(tiny_bundle), "--hours", "0.01", "--pause-s", "1", "--backend", "onnxruntime"]
    file = tmp_path / "soak.json"
    assert main([*arguments, "--threads", "1", "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    dives = figures["dives"]
    assert dives >= 2
    assert f"{dives} of {dives} found, 0 false alarms, {dives} scored" in capsys.readouterr().out
    assert (figures["scored"], figures["unscored"], figures["dropped"]) == (dives, 0, 0)
    assert len(figures["samples"]) > 5


@pytest.mark.parametrize(
    ("memory_mb", "unscored", "code"),
    [([400.0] * 8, 0, 0), ([400.0] * 8, 1, 1), ([400.0 + 20 * i for i in range(8)], 0, 1)],
)
def test_what_must_not_be_fails(
    monkeypatch: pytest.MonkeyPatch, memory_mb: list[float], unscored: int, code: int
) -> None:
    found = dataclasses.replace(result(memory_mb), unscored=unscored)
    monkeypatch.setattr(soak, "soak", lambda *_, **__: found)
    assert main(["--bundle", "any", "--hours", "0.01"]) == code


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--hours", "0"], "allowed: 0.01 to 1000"), (["--json", "x.txt"], "ends in .json")],
)
def test_mistakes_are_said(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bundle", "nowhere", *arguments]) == 2
    assert reason in capsys.readouterr().err
