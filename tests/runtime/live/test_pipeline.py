"""From a stream to scores: every dive is reported once, with what was wrong, whatever happens to source and engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.errors import UserError
from mcore_runtime.live.detector import DetectedDive
from mcore_runtime.live.dives import LiveDive, RunSummary
from mcore_runtime.live.engine import EngineThread
from mcore_runtime.live.journal import Journal
from mcore_runtime.live.pipeline import LivePipeline, LiveSettings
from mcore_runtime.run import main
from mcore_runtime.scorer import Scorer
from mcore_runtime.sources import open_source
from tests.numbered_video import write_numbered
from tests.runtime.live.mjpeg_server import MjpegServer
from tests.runtime.live.test_sources import PATIENCE_S

SETTINGS = LiveSettings(dive_number="407C")


class At:
    """A detector that sees dives at given times."""

    def __init__(self, *dives: tuple[float, float]) -> None:
        self._left = [DetectedDive(takeoff_s, entry_s, 1.0, "body") for takeoff_s, entry_s in dives]

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        seen = [dive for dive in self._left if dive.entry_s + 0.3 <= time_s]
        self._left = [dive for dive in self._left if dive not in seen]
        return seen

    def reset(self) -> None:
        raise AssertionError("nobody resets it")


def watch(
    address: str,
    bundle: Path,
    settings: LiveSettings = SETTINGS,
    *,
    detector: At | None = None,
    during: Callable[[LivePipeline], None] | None = None,
    scorer: Callable[[Scorer], None] | None = None,
) -> tuple[list[LiveDive], RunSummary]:
    dives: list[LiveDive] = []

    def open_scorer() -> Scorer:
        opened = Scorer(bundle, backend="onnxruntime", threads=1)
        if scorer is not None:
            scorer(opened)
        return opened

    with EngineThread(open_scorer) as engine, open_source(address, first_delay_s=0.05) as source:
        pipeline = LivePipeline(source, engine, settings, dives.append, detector=detector)
        if during is not None:
            threading.Thread(target=during, args=(pipeline,), daemon=True).start()
        return dives, pipeline.run()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds at 30 frames a second."""
    return write_numbered(tmp_path_factory.mktemp("video") / "v.mp4", 240)


def test_a_dive_in_a_stream_scores_as_in_a_file(video: Path, tiny_bundle: Path) -> None:
    dives, summary = watch(str(video), tiny_bundle, detector=At((2.0, 3.5)))
    (dive,) = dives
    with Scorer(tiny_bundle, backend="onnxruntime", threads=1) as scorer:
        reference = scorer.score(video, "407C", start_s=2.0 - 1.2, end_s=3.5 + 1.5)
    assert dive.status == "scored"
    assert dive.result is not None
    assert dive.result.score == reference.score
    assert dive.result.transitions_s == reference.transitions_s
    assert dive.result.video.source == str(video)
    assert (dive.takeoff_s, dive.entry_s, dive.found_by) == (2.0, 3.5, "body")
    assert dive.time_to_score_ms is not None
    assert (summary.dives, summary.scored, summary.frames) == (1, 1, 240)
    assert summary.time_to_score_ms["max"] == dive.time_to_score_ms
    json.dumps(dive.to_json(), allow_nan=False)


def test_several_dives_come_in_order(video: Path, tiny_bundle: Path) -> None:
    dives, _ = watch(str(video), tiny_bundle, detector=At((1.3, 2.0), (3.5, 4.2), (5.0, 6.0)))
    assert [dive.number for dive in dives] == [1, 2, 3]
    assert [dive.status for dive in dives] == ["scored"] * 3


@pytest.mark.parametrize(
    ("times", "status", "window"),
    [((0.6, 2.0), "scored", (0.0, 3.5)), ((5.5, 7.2), "scored", (4.3, 8.0)), ((5.5, 7.6), "invalid", (4.3, 8.0))],
)
def test_recordings_may_begin_and_end_close_to_a_dive(
    video: Path, tiny_bundle: Path, times: tuple[float, float], status: str, window: tuple[float, float]
) -> None:
    (dive,), _ = watch(str(video), tiny_bundle, detector=At(times))
    assert dive.status == status, dive.reasons
    np.testing.assert_allclose((dive.start_s, dive.end_s), window, atol=1.5 / 30)


def test_a_whole_file_is_one_dive(video: Path, tiny_bundle: Path) -> None:
    (dive,), _ = watch(str(video), tiny_bundle, replace(SETTINGS, mode="whole-file"))
    with Scorer(tiny_bundle, backend="onnxruntime", threads=1) as scorer:
        reference = scorer.score(video, "407C")
    assert dive.result is not None
    assert dive.result.score == reference.score
    assert (dive.found_by, dive.start_s) == ("whole-file", 0.0)


def test_a_file_that_is_too_long_for_one_dive_says_so(video: Path, tiny_bundle: Path) -> None:
    (dive,), _ = watch(str(video), tiny_bundle, replace(SETTINGS, mode="whole-file", ring_frames=100))
    assert dive.status == "invalid"
    assert "more than 100 frames" in dive.reasons[0]


def test_the_video_of_a_dive_is_kept(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (dive,), _ = watch(str(video), tiny_bundle, replace(SETTINGS, record=tmp_path), detector=At((2.0, 3.5)))
    assert dive.recording is not None
    with open_source(dive.recording) as source:
        assert sum(1 for _ in source) / 30 == pytest.approx(4.2, abs=0.6)


def test_a_folder_that_cannot_be_written_costs_the_video_and_not_the_score(
    video: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings = replace(SETTINGS, record=tmp_path / "file")
    (dive,), _ = watch(str(video), tiny_bundle, settings, detector=At((2.0, 3.5)))
    assert (dive.status, dive.recording) == ("scored", None)
    assert "no video" in dive.notes[0]


def test_a_failing_engine_does_not_lose_the_dive_or_the_next(video: Path, tiny_bundle: Path) -> None:
    def fail_once(scorer: Scorer) -> None:
        regressor = scorer.backend.regressor
        calls = iter([True])

        def failing(*inputs: NDArray[np.float32]) -> object:
            if next(calls, False):
                raise RuntimeError("the device is gone")
            return regressor(*inputs)

        scorer.backend.regressor = failing  # type: ignore[method-assign, assignment]

    dives, summary = watch(str(video), tiny_bundle, detector=At((1.3, 2.0), (3.5, 4.2)), scorer=fail_once)
    assert [dive.status for dive in dives] == ["failed", "scored"]
    assert "device is gone" in dives[0].reasons[0]
    assert (summary.failed, summary.scored) == (1, 1)


def test_a_number_without_exemplars_is_a_failed_dive(video: Path, tiny_bundle: Path) -> None:
    (dive,), _ = watch(str(video), tiny_bundle, LiveSettings(dive_number="107B"), detector=At((2.0, 3.5)))
    assert dive.status == "failed"
    assert "107B" in dive.reasons[0]


def test_an_engine_that_cannot_be_opened_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        EngineThread(lambda: Scorer(tmp_path / "none"))


def test_the_operator_cuts_a_clip_from_a_live_stream(tiny_bundle: Path) -> None:
    def operate(pipeline: LivePipeline) -> None:
        time.sleep(1.5)
        pipeline.trigger()
        time.sleep(1.2)
        pipeline.stop()

    settings = replace(SETTINGS, mode="manual", manual_before_s=0.7, manual_after_s=0.4)
    with MjpegServer() as server:
        (dive,), summary = watch(server.url, tiny_bundle, settings, during=operate)
    assert dive.status == "scored", dive.reasons
    assert dive.found_by == "operator"
    assert dive.end_s - dive.start_s == pytest.approx(1.1, abs=0.15)
    assert summary.connections == 1


def test_a_lost_camera_makes_the_clip_invalid_and_the_next_one_counts(tiny_bundle: Path) -> None:
    with MjpegServer() as server:

        def break_off(pipeline: LivePipeline) -> None:
            time.sleep(1.2)
            pipeline.trigger()
            server.kill()
            time.sleep(0.5)
            with MjpegServer(server.port):
                time.sleep(2.0)
                pipeline.trigger()
                time.sleep(1.0)
                pipeline.stop()

        settings = replace(SETTINGS, mode="manual", manual_before_s=0.7, manual_after_s=0.4)
        dives, summary = watch(server.url, tiny_bundle, settings, during=break_off)
    assert [dive.status for dive in dives] == ["invalid", "scored"], [dive.reasons for dive in dives]
    assert "missing" in dives[0].reasons[-1] or "lost" in dives[0].reasons[0]
    assert summary.connections == 2


def test_a_camera_that_stays_away_does_not_hold_the_clip_back(tiny_bundle: Path) -> None:
    reported = threading.Event()
    with MjpegServer() as server:

        def vanish(pipeline: LivePipeline) -> None:
            time.sleep(1.0)
            pipeline.trigger()
            server.kill()
            reported.wait(PATIENCE_S)
            pipeline.stop()

        settings = replace(SETTINGS, mode="manual", manual_before_s=0.7, manual_after_s=0.4)
        with EngineThread(lambda: Scorer(tiny_bundle, threads=1)) as engine, open_source(server.url) as source:
            dives: list[LiveDive] = []

            def report(dive: LiveDive) -> None:
                dives.append(dive)
                reported.set()

            pipeline = LivePipeline(source, engine, settings, report)
            threading.Thread(target=vanish, args=(pipeline,), daemon=True).start()
            pipeline.run()
    assert [dive.status for dive in dives] == ["invalid"]


def test_a_journal_survives_what_was_torn_off(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    with Journal(path) as journal:
        assert journal.write({"number": 1}) is None
    with path.open("ab") as file:
        file.write(b'{"number": 2, "sco')
    with Journal(path) as journal:
        assert journal.torn == b'{"number": 2, "sco'
        journal.write({"number": 3, "who": "Zoë"})
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [1, 3]


def test_a_full_disk_delays_lines_and_tears_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, room = os.write, [10]

    def limited(descriptor: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(28, "No space left on device")
        written = write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    path = tmp_path / "results.jsonl"
    with Journal(path) as journal:
        monkeypatch.setattr(os, "write", limited)
        problem = journal.write({"number": 1})
        assert problem is not None
        assert "No space" in problem
        assert path.read_bytes() == b""
        room[0] = 1000
        assert journal.write({"number": 2}) is None
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [1, 2]


def test_the_command_prints_a_line_for_each_dive(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.jsonl"
    source = "synthetic://meet?seed=11&dives=1&pause=0&pace=fast"
    assert main([source, "--bundle", str(tiny_bundle), "--dive", "407C", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "#1 407C: " in printed
    assert "1 dives: 1 scored, 0 invalid, 0 failed; time to score in ms: p50 " in printed
    (line,) = out.read_text().splitlines()
    record = json.loads(line)
    assert (record["status"], record["found_by"], record["number"]) == ("scored", "camera", 1)
    assert record["result"]["video"]["reader"] == "rendered"


def test_the_command_writes_json_and_nothing_else_to_standard_output(
    video: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(video), "--bundle", str(tiny_bundle), "--dive", "407C", "--mode", "whole-file", "--json"]
    assert main(arguments) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["status"] == "scored"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.mp4", "--dive", "407C"], "no file"),
        (["none.mp4"], "--any-exemplar"),
        (["none.mp4", "--dive", "999Z"], "999Z"),
        (["none.mp4", "--dive", "107B"], "107B"),
        (["rtmp://u:hush@h/x", "--dive", "407C"], "rtmp"),
        (["none.mp4", "--dive", "407C", "--out", "results.csv"], ".jsonl"),
    ],
)
def test_mistakes_in_the_command(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([*arguments, "--bundle", str(tiny_bundle)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "hush" not in error


def test_a_killed_run_loses_no_finished_dive(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    """The line is on the disk before the dive is printed; so after kill -9 whoever saw a score finds it again."""
    out = tmp_path / "results.jsonl"
    code = "import sys; from mcore_runtime.run import main; sys.exit(main(sys.argv[1:]))"
    source = "synthetic://meet?seed=11&dives=50&pause=0&pace=fast&distractors=none"
    command = [source, "--bundle", str(tiny_bundle), "--dive", "407C", "--out", str(out), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    seen = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[0] == seen
