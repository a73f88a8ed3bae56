"""Dives in untrimmed files: found, cut as ``mcore-run`` cuts them, named where they are slow motion, and said."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.synthetic.video import write_video
from mcore.video import sample_clip
from mcore_runtime import Scorer
from mcore_runtime.detector import DetectedDive, JointDetector
from mcore_runtime.score import main
from mcore_runtime.scoring.finding import Findings, cut_dives, find_dives
from tests.known_dives import knowing, with_known

FPS = 20


def dive(takeoff_s: float, entry_s: float, *, slow_motion: bool = False) -> DetectedDive:
    return DetectedDive(takeoff_s, entry_s, 0.9, "looks", slow_motion)


class Says:
    """A detector that knows the dives, and says each half a second after its entry."""

    def __init__(self, dives: Sequence[DetectedDive], watched: list[float] | None = None) -> None:
        self.left, self.watched = list(dives), [] if watched is None else watched

    def __call__(self, aspect: float) -> Says:
        """Stand for a detector's class."""
        return self

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        self.watched.append(time_s)
        due = [dive for dive in self.left if time_s >= dive.entry_s + 0.5]
        self.left = [dive for dive in self.left if dive not in due]
        return due


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds whose brightness changes."""
    path = tmp_path_factory.mktemp("film") / "training.mp4"
    write_video(path, (np.full((48, 64, 3), 40 + 3 * (i % 60), np.uint8) for i in range(12 * FPS)), FPS)
    return path


@pytest.mark.parametrize(
    ("file_s", "dives", "cuts"),
    [
        pytest.param(8.6, [(5.5, 6.7)], [(4.3, 8.2)], id="one dive in a longer file"),
        pytest.param(60.0, [(10, 11.4), (31, 32.6)], [(8.8, 12.9), (29.8, 34.1)], id="two"),
        pytest.param(4.1, [(1.1, 2.6)], [(None, None)], id="a clip as FineDiving's"),
        pytest.param(6.8, [(2.9, 4.5)], [(None, None)], id="one of the longest of FineDiving's"),
        pytest.param(6.9, [(3.1, 4.6)], [(1.9, 6.1)], id="more before it"),
        pytest.param(6.9, [(1.0, 2.4)], [(None, 3.9)], id="more behind it, and it begins late"),
        pytest.param(6.6, [(3.7, 4.2)], [(None, None)], id="a take-off that was found too late"),
        pytest.param(60.0, [(11.0, 11.7)], [(9.3, 13.2)], id="the same in a longer file"),
        pytest.param(9.0, [(7.0, 8.4)], [(5.8, None)], id="the file ends soon"),
        pytest.param(6.5, [(0.4, 1.8), (4.2, 5.7)], [(None, 3.3), (3.0, None)], id="two in a short file"),
    ],
)
def test_a_dive_is_cut_as_live_ones_are_unless_the_file_is_cut_already(
    file_s: float, dives: list[tuple[float, float]], cuts: list[tuple[float | None, float | None]]
) -> None:
    found = cut_dives(Findings(file_s, tuple(dive(*each) for each in dives)))
    assert [(cut.start_s, cut.end_s) for cut in found] == [pytest.approx(cut) for cut in cuts]
    assert [cut.is_whole for cut in found] == [cut == (None, None) for cut in cuts]


def test_a_clip_that_the_file_makes_short_says_so_unless_the_file_is_a_clip() -> None:
    begins, ends = cut_dives(Findings(6.5, (dive(0.4, 1.8), dive(4.6, 6.1))))
    assert begins.notes == ("the file begins 0.4 s before the take-off; usual are 1.2 s",)
    assert ends.notes == ("the file ends 0.4 s after the entry; usual are 1.5 s",)
    (whole,) = cut_dives(Findings(3.0, (dive(0.2, 1.6),)))
    assert (str(whole), whole.notes) == ("the whole 3.0 s", ())


def test_a_dive_is_looked_for_in_every_frame_and_beyond_the_last(film: Path) -> None:
    watched: list[float] = []
    # The last one is the end of the file, at which a camera that falls with the diver stops, too.
    known = [dive(9.0, 10.5), dive(2.0, 3.5), dive(10.6, 11.93)]
    progress: list[tuple[float, float]] = []
    found = find_dives(film, make=Says(known, watched), on_progress=lambda *said: progress.append(said))
    assert found.dives == (known[1], known[0])
    assert found.file_s == pytest.approx(12.0)
    np.testing.assert_allclose(watched[: 12 * FPS], np.arange(12 * FPS) / FPS, atol=1e-6)
    assert watched[-1] > 15.4  # slow motion of a quarter of the pace is known after 3.5 s
    assert len(progress) == 11
    assert progress[-1] == pytest.approx((11.0, 11.95))


def test_of_one_flight_the_report_that_is_believed_stays(film: Path) -> None:
    taken, other = dive(2.8, 4.1), dive(8.0, 9.6)
    replay = DetectedDive(0.5, 5.2, 0.9, "looks", slow_motion=True, instead_of=(taken,))
    found = find_dives(film, make=Says([taken, replay, other]))
    assert (found.dives, found.slow_motion) == ((other,), (replay,))


def test_memory_does_not_grow_with_the_file(film: Path) -> None:
    tracemalloc.start()
    find_dives(film, make=Says([]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * 200 * 112 * 3  # a quarter of its pictures, as small as the detector sees them


def test_each_dive_is_said_in_table_json_and_report(
    film: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    replay = dive(7.0, 10.4, slow_motion=True)
    monkeypatch.setattr(JointDetector, "update", Says([dive(1.5, 2.7), dive(4.2, 5.4), replay]).update)
    scores, report = tmp_path / "s.json", tmp_path / "r.html"
    argv = [str(tiny_bundle), str(film), "--dive", "407C", "--json", str(scores), "--report", str(report)]
    assert main(argv) == 0
    dives = json.loads(scores.read_text())["dives"]
    windows = [(dive["video"]["start_s"], dive["video"]["end_s"], dive["cut_by"]) for dive in dives]
    assert windows == [(pytest.approx(0.3), pytest.approx(4.2), "detector"), (3.0, pytest.approx(6.9), "detector")]
    assert dives[0]["found"] == {"takeoff_s": 1.5, "entry_s": 2.7, "by": "spotter"}
    said = "slow motion: a flight of 3.4 s, from 7.0 to 10.4 s; from 10 m it lasts 2.1 s at most: it was not scored"
    assert all(said in dive["notes"] for dive in dives)
    out, page = capsys.readouterr().out, report.read_text()
    for text in (out, page):
        assert "dive from 0.3 to 4.2 s of 12.0 s" in text
        assert "dive from 3.0 to 6.9 s of 12.0 s" in text
    assert "2 of 2 scored" in out
    # The user's own words come first: nothing is looked for.
    assert main([*argv, "--start", "1"]) == 0
    (given,) = json.loads(scores.read_text())["dives"]
    assert (given["cut_by"], given["found"], given["video"]["end_s"]) == ("caller", None, None)
    assert "from 1.0 s to its end, as given" in report.read_text()


@pytest.mark.parametrize(
    ("dives", "words"),
    [
        ([], ["no dive found in its 12.0 s", "give --whole-clip"]),
        ([dive(2.0, 7.5, slow_motion=True)], ["no dive in real time found; slow motion: a flight of 5.5 s", "--start"]),
    ],
)
def test_without_a_dive_there_is_an_error_and_no_score(
    film: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    dives: list[DetectedDive], words: list[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(JointDetector, "update", Says(dives).update)
    assert main([str(tiny_bundle), str(film), "--dive", "407C", "--json"]) == 1
    captured = capsys.readouterr()
    (failed,) = json.loads(captured.out)["dives"]
    assert (failed["status"], "score" in failed) == ("failed", False)
    assert all(word in failed["error"] for word in words)
    assert failed["error"] in captured.err


def test_a_short_file_without_a_dive_needs_a_bundle_that_knows_its_dives(
    tiny_bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(dive_video), "--dive", "407C", "--json"]
    assert main([str(tiny_bundle), *argv]) == 1
    (dive,) = json.loads(capsys.readouterr().out)["dives"]
    assert "no dive found in its 1.0 s, and this bundle knows no dives to tell" in dive["error"]
    with Scorer(tiny_bundle, "onnxruntime", threads=1) as scorer:
        clips = [sample_clip(dive_video, scorer.clip_config, start_s=i * 0.01) for i in range(24)]
        known = knowing(scorer, iter(clips))
    bundle = with_known(Path(shutil.copytree(tiny_bundle, tmp_path / "known")), known)
    assert main([str(bundle), *argv]) == 0
    (dive,) = json.loads(capsys.readouterr().out)["dives"]
    assert (dive["status"], dive["cut_by"], dive["found"]) == ("scored", None, None)
    assert "no dive found in its 1.0 s: all of it was taken as one dive" in dive["notes"]
