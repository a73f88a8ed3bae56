"""A stream to scores: every dive is reported once, with what was wrong, whatever happens to source and scorer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore_runtime.detector import DetectedDive
from mcore_runtime.live.broadcast import DetectorNews, DiveNews
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.live.scorer_thread import ScorerThread
from mcore_runtime.live.session import LiveSession
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.session import LiveDive
from mcore_runtime.session.summary import RunSummary
from mcore_runtime.sources import open_source
from tests.runtime.live.at import At
from tests.runtime.live.conftest import PATIENCE_S, SETTINGS
from tests.runtime.sources.mjpeg_server import MjpegServer


def watch(
    address: str,
    bundle: Path,
    settings: LiveSettings = SETTINGS,
    *,
    detector: At | None = None,
    during: Callable[[LiveSession], None] | None = None,
    dive_number: str | None = "407C",
    said: list[str] | None = None,
) -> tuple[list[LiveDive], RunSummary]:
    with (
        ScorerThread(lambda: Scorer(bundle, backend="onnxruntime", threads=1)) as thread,
        open_source(address, first_delay_s=0.05) as source,
        LiveSession(source, thread, settings, dive_number=dive_number, detector=detector) as session,
        session.subscribe(1000) as news,
    ):
        if during is not None:
            threading.Thread(target=during, args=(session,), daemon=True).start()
        summary = session.run()
        dives = [session.dive(row["number"]) for row in session.snapshot()["dives"]]
        while said is not None and (heard := news.get(0.0)) is not None:
            said += [heard.text] if isinstance(heard, DetectorNews) else []
    assert all(dive is not None for dive in dives)
    return [dive for dive in dives if dive is not None], summary


def test_a_dive_in_a_stream_scores_as_in_a_file(video: Path, tiny_bundle: Path) -> None:
    (dive,), summary = watch(str(video), tiny_bundle, detector=At((2.0, 3.5)))
    with Scorer(tiny_bundle, backend="onnxruntime", threads=1) as scorer:
        reference = scorer.score(video, "407C", start_s=2.0 - 1.2, end_s=3.5 + 1.5)
    assert dive.status == "scored"
    result = dive.result
    assert result is not None
    assert result.score == reference.score
    assert result.transitions_s == reference.transitions_s
    assert result.video.source == str(video)
    assert (dive.takeoff_s, dive.entry_s, dive.found_by) == (2.0, 3.5, "motion")
    assert (summary.dives, summary.scored, summary.frames) == (1, 1, 240)
    assert summary.time_to_score_ms["max"] == dive.time_to_score_ms
    assert LiveDive.from_json(dive.to_json(), "dive") == dive


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


def test_slow_motion_is_not_scored(video: Path, tiny_bundle: Path) -> None:
    said: list[str] = []
    dives, summary = watch(str(video), tiny_bundle, detector=At((2.0, 5.5), slow_motion=True), said=said)
    assert (dives, summary.frames) == ([], 240)
    (line,) = said
    assert line.startswith("slow motion: a flight of 3.5 s, from 2.0 to 5.5 s")
    assert line.endswith("it is not scored")


LIVE = DetectedDive(2.6, 3.8, 0.6, "looks")


@pytest.mark.parametrize(("replay_entry_s", "is_cut"), [(5.6, True), (4.1, False)])
def test_a_dive_that_may_be_a_replay_is_named(
    video: Path, tiny_bundle: Path, replay_entry_s: float, is_cut: bool
) -> None:
    replay = DetectedDive(1.0, replay_entry_s, 0.8, "looks", slow_motion=True, instead_of=(LIVE,))
    said: list[str] = []
    first, second = watch(str(video), tiny_bundle, detector=At(LIVE, replay, (6.5, 7.2)), said=said)[0]
    assert [first.status, second.status, second.notes] == ["scored", "scored", ()]
    doubt = "the dive that entered the water at 3.8 s may be this; void it if it was a replay"
    (line,) = said
    assert line.endswith(f"it is not scored; {doubt}")
    assert any(note.endswith(doubt) for note in first.notes) == is_cut


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


def test_the_operator_cuts_a_clip_from_a_live_stream(tiny_bundle: Path) -> None:
    def operate(session: LiveSession) -> None:
        time.sleep(1.5)
        session.command("trigger")
        time.sleep(1.2)
        session.stop()

    settings = replace(SETTINGS, mode="manual", manual_before_s=0.7, manual_after_s=0.4)
    with MjpegServer() as server:
        (dive,), summary = watch(server.url, tiny_bundle, settings, during=operate)
    assert dive.status == "scored", dive.reasons
    assert dive.found_by == "operator"
    assert dive.end_s - dive.start_s == pytest.approx(1.1, abs=0.15)
    assert summary.connections == 1


def test_a_lost_camera_makes_the_clip_invalid_and_the_next_one_counts(tiny_bundle: Path) -> None:
    with MjpegServer() as server:

        def break_off(session: LiveSession) -> None:
            time.sleep(1.2)
            session.command("trigger")
            server.close()
            time.sleep(0.5)
            with MjpegServer(server.port):
                time.sleep(2.0)
                session.command("trigger")
                time.sleep(1.0)
                session.stop()

        settings = replace(SETTINGS, mode="manual", manual_before_s=0.7, manual_after_s=0.4)
        dives, summary = watch(server.url, tiny_bundle, settings, during=break_off)
    assert [dive.status for dive in dives] == ["invalid", "scored"], [dive.reasons for dive in dives]
    assert "missing" in dives[0].reasons[-1] or "lost" in dives[0].reasons[0]
    assert summary.connections == 2


def test_a_camera_that_stays_away_does_not_hold_the_clip_back(tiny_bundle: Path) -> None:
    with MjpegServer() as server:

        def vanish(session: LiveSession) -> None:
            time.sleep(1.0)
            with session.subscribe() as news:
                session.command("trigger")
                server.close()
                deadline = time.monotonic() + PATIENCE_S
                while time.monotonic() < deadline:
                    event = news.get(1.0)
                    if isinstance(event, DiveNews):
                        break
            session.stop()

        settings = replace(SETTINGS, mode="manual", manual_before_s=0.7, manual_after_s=0.4)
        dives, _ = watch(server.url, tiny_bundle, settings, during=vanish)
    assert [dive.status for dive in dives] == ["invalid"]


@pytest.mark.parametrize(
    ("seen", "pressed_s", "found_by"),
    [
        (At((2.0, 3.5)), (3.6, 4.0, 4.8, 5.5), ["motion"]),  # right after the entry, before the detector is certain
        (At(), (4.0, 4.1, 4.5, 6.0), ["operator", "operator"]),  # a finger that slips
    ],
    ids=["both saw it", "pressed twice"],
)
def test_one_dive_is_one_dive(
    video: Path, tiny_bundle: Path, seen: At, pressed_s: tuple[float, ...], found_by: list[str]
) -> None:
    sessions: list[LiveSession] = []
    there = threading.Event()

    class BesideAnOperator(At):
        def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
            assert there.wait(PATIENCE_S)
            if any(abs(time_s - pressed) < 0.01 for pressed in pressed_s):
                sessions[0].command("trigger")
            return seen.update(picture, time_s, gap=gap)

    def begin(session: LiveSession) -> None:
        sessions.append(session)
        there.set()

    dives, _ = watch(str(video), tiny_bundle, detector=BesideAnOperator(), during=begin)
    assert [dive.found_by for dive in dives] == found_by
