"""The command that measures head starts: what it begins, what it counts, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore_bench.live import latency
from mcore_bench.live.latency import EveryOther, Side, main
from mcore_runtime.detector import DetectedDive
from mcore_runtime.live.headstart import HeadStart
from mcore_runtime.live.pipeline import LivePipeline
from mcore_runtime.live.ring import FrameRing
from tests.numbered_video import write_numbered
from tests.runtime.conftest import MODEL
from tests.runtime.live.at import At


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds at 30 frames a second."""
    return write_numbered(tmp_path_factory.mktemp("video") / "v.mp4", 123)


class After:
    """Sees dives at given times after the first picture: a live stream's clock does not begin at zero."""

    def __init__(self, *dives: tuple[float, float]) -> None:
        self._dives, self._at = dives, At()
        self._begins = True

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        if self._begins:
            self._at = At(*((time_s + takeoff_s, time_s + entry_s) for takeoff_s, entry_s in self._dives))
            self._begins = False
        return self._at.update(picture, time_s, gap=gap)

    def reset(self) -> None:
        self._at.reset()


@pytest.fixture
def four_dives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector sees four dives in any video."""
    dives = After((1.3, 1.6), (1.5, 1.8), (1.9, 2.2), (2.1, 2.4))
    begin = LivePipeline.__init__

    def with_detector(self: LivePipeline, *arguments: object, **named: object) -> None:
        begin(self, *arguments, **{**named, "detector": dives})  # type: ignore[arg-type]

    monkeypatch.setattr(LivePipeline, "__init__", with_detector)


@pytest.mark.usefixtures("four_dives")
def test_dives_are_begun_in_turns_told_apart_and_written(
    video: Path, split_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "latency.json"
    arguments = ["--bundle", str(split_bundle), "--source", f"file:{video}?pace=realtime", "--backend", "onnxruntime"]
    assert main([*arguments, "--threads", "1", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "begun early" in printed
    assert "times sooner" in printed
    found = json.loads(out.read_text())
    assert (found["whole"]["dives"], found["begun"]["dives"], found["missed"], found["unscored"]) == (2, 2, 0, 0)
    assert "backbone_prefix" in found["begun"]["median_ms"]
    assert "backbone_prefix" not in found["whole"]["median_ms"]
    assert set(found["begun"]["time_to_score_ms"]) == {"p50", "p90", "p99", "max"}
    assert found["speedup"] > 0
    assert (found["prefix_frames"], found["num_frames"]) == (6, 8)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--dives", "1"], "at least 2, one of each kind"),
        (["--json", "out.txt"], "ends in .json"),
        (["--source", "missing.mp4"], "missing.mp4"),
    ],
)
def test_mistakes_are_named(
    split_bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main(["--bundle", str(split_bundle), "--backend", "onnxruntime", *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_a_bundle_without_two_parts_has_nothing_to_compare(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--bundle", str(tiny_bundle), "--backend", "onnxruntime"]) == 2
    assert "has no fp32 backbone in two parts. Export the bundle again" in capsys.readouterr().err


def test_every_other_clip_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []
    monkeypatch.setattr(HeadStart, "update", lambda self, ring, windows: begun.append(list(windows)))
    start = EveryOther(6, lambda job: True)
    ring = FrameRing(MODEL.clip)
    start.update(ring, [(0.0, 1.0), (0.5, 1.5)])
    start.update(ring, [(0.5, 1.5), (2.0, 3.0)])
    assert begun == [[(0.0, 1.0)], [(2.0, 3.0)]]


def test_the_speedup_is_that_of_the_medians() -> None:
    whole = Side(1, {"p50": 90.0}, {"backbone": 60.0})
    begun = Side(1, {"p50": 30.0}, {"backbone_prefix": 50.0, "backbone": 16.0})
    found = latency.Latency("", "", "", "", "", 6, 8, whole, begun, 0, 0, "")
    assert found.speedup == 3.0
