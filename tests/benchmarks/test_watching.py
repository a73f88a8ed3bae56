"""Detectors on films with marks and on random pools: what is found, named and invented."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.synthetic import write_video
from mcore.synthetic.untrimmed import SpottedDive, render_clip
from mcore_bench.cases import random_pools, real_clips
from mcore_bench.cases.random_pools import random_pools_tables
from mcore_bench.cases.real_clips import MARKS, boundaries_table, own_dives_table, real_clips_table
from mcore_bench.cases.watching import match
from mcore_bench.result import Table
from mcore_runtime.detector import DetectedDive
from mcore_runtime.scoring.scorer import Scorer

FPS = 25


@dataclass
class Says:
    """A detector that says the same of every stream, half a second after each entry."""

    dives: list[DetectedDive]
    shapes: set[tuple[int, ...]] = field(default_factory=set)
    said: int = 0

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        self.shapes.add(picture.shape)
        due = [dive for dive in self.dives[self.said :] if dive.entry_s + 0.5 <= time_s]
        self.said += len(due)
        return due


def row(table: Table, index: int) -> dict[str, object]:
    return dict(zip([column.heading for column in table.columns], table.rows[index], strict=True))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "film.mp4", [np.full((48, 64, 3), 90, np.uint8)] * (4 * FPS), FPS)
    clips = [
        {"file": "film.mp4", "takeoff_frame": 25, "entry_frame": 60},
        {"file": "film.mp4"},
        {"file": "film.mp4", "takeoff_frame": 5, "entry_frame": 60, "slow_motion": True},
    ]
    (folder / "marks.json").write_text(json.dumps(clips), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("flight_s", "late_s", "is_found"), [(1.4, 0.4, True), (1.4, 0.6, False), (8.4, 1.9, True), (8.4, 2.1, False)]
)
def test_an_entry_is_matched_in_the_diver_s_own_time(flight_s: float, late_s: float, is_found: bool) -> None:
    true = SpottedDive(2.0, 2.0 + flight_s)
    pairs, alarms = match([true], [DetectedDive(2.0, true.entry_s + late_s, 0.9, "looks")])
    assert (len(pairs), len(alarms)) == (is_found, not is_found)


def test_films_tell_finds_from_alarms(films: Path) -> None:
    dives = [DetectedDive(1.1, 2.3, 1.0, "body"), DetectedDive(2.2, 3.3, 1.0, "body")]
    detectors: list[Says] = []

    def make(aspect: float) -> Says:
        assert aspect == pytest.approx(64 / 48)
        detectors.append(Says(dives))
        return detectors[-1]

    table = real_clips_table(films, films / "marks.json", "a", make)
    found = row(table, 0)
    assert (found["dive"], found["false alarms"]) == ("found", 1)
    assert found["take-off, s"] == pytest.approx(0.1)
    assert found["entry, s"] == pytest.approx(-0.1)
    assert found["known after the entry, s"] == pytest.approx(0.4)
    assert (row(table, 1)["dive"], row(table, 1)["false alarms"]) == (None, 2)
    assert (row(table, 2)["dive"], row(table, 2)["false alarms"]) == ("not named", 2)
    assert "found 1 of 1 real-time dives; 5 false alarms" in table.note
    config = ClipConfig()
    assert detectors[0].shapes == {(config.resize_height, config.resize_width, 3)}


def test_a_replay_is_named_and_is_no_alarm(films: Path) -> None:
    slow = [DetectedDive(0.2, 2.4, 1.0, "body", slow_motion=True)]
    table = real_clips_table(films, films / "marks.json", "a", lambda aspect: Says(slow))
    assert [row(table, i)["dive"] for i in range(3)] == ["not found", None, "named"]
    assert [row(table, i)["false alarms"] for i in range(3)] == [0, 0, 0]


def test_boundaries_of_a_network_are_compared_with_the_marks(
    films: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_clips, "search", lambda request, spotter: [replace(request, start_s=0.2)])
    with Scorer(bundle) as scorer:
        takeoff_s, entry_s = scorer.score(films / "film.mp4", start_s=0.2, any_exemplar=True).transitions_s
    table = boundaries_table(films, films / "marks.json", bundle)
    assert len(table.rows) == 1  # neither what is no dive nor slow motion
    assert row(table, 0)["take-off, s"] == pytest.approx(0.2 + takeoff_s - 1.0)
    assert row(table, 0)["entry, s"] == pytest.approx(0.2 + entry_s - 2.4)


def test_a_film_in_which_no_dive_is_found_has_no_boundaries(films: Path, bundle: Path) -> None:
    table = boundaries_table(films, films / "marks.json", bundle)
    assert (row(table, 0)["take-off, s"], row(table, 0)["entry, s"]) == (None, None)


@pytest.mark.parametrize(("start_s", "frames"), [(None, [25, 60]), (0.195, [20, 55])])
def test_the_test_dives_of_a_list_are_watched(films: Path, start_s: float | None, frames: list[int]) -> None:
    dive = {"path": "film.mp4", "dive_number": "407C", "score": 60.0, "transition_frames": frames, "start_s": start_s}
    listing = films / "dives.jsonl"
    listing.write_text("".join(json.dumps({**dive, "split": split}) + "\n" for split in ("train", "test")), "utf-8")
    table = own_dives_table(listing, "a", lambda aspect: Says([DetectedDive(1.0, 2.4, 1.0, "looks")]))
    assert len(table.rows) == 1
    assert (row(table, 0)["film"], row(table, 0)["dive"]) == ("film.mp4", "found")
    errors = row(table, 0)["take-off, s"], row(table, 0)["entry, s"]
    assert errors == (pytest.approx(0.04), pytest.approx(0))


@pytest.mark.parametrize(
    ("frames", "count", "message"),
    [([25, 60], 2, "has 2 dives"), ([25, 600], 1, "marks are of another film"), (None, 1, "no transition_frames")],
)
def test_lists_that_cannot_be_watched_are_refused(
    films: Path, frames: list[int] | None, count: int, message: str
) -> None:
    dive = {"path": "film.mp4", "dive_number": "407C", "score": 60.0, "transition_frames": frames, "split": "test"}
    (films / "dives.jsonl").write_text((json.dumps(dive) + "\n") * count, "utf-8")
    with pytest.raises(UserError, match=message):
        own_dives_table(films / "dives.jsonl", "a", lambda aspect: Says([]))


def test_marks_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "marks.json"
    with pytest.raises(UserError, match="cannot read marks"):
        real_clips_table(tmp_path, path, "a", lambda aspect: Says([]))
    path.write_text('[{"file": "a.mp4", "takeoff_frame": 3}]', encoding="utf-8")
    with pytest.raises(UserError, match="both takeoff_frame and entry_frame"):
        real_clips_table(tmp_path, path, "a", lambda aspect: Says([]))


def test_the_projects_own_marks_name_each_film_once() -> None:
    files = [clip["file"] for clip in json.loads(MARKS.read_text(encoding="utf-8"))]
    assert len(files) == len(set(files)) == 10


def test_random_pools_count_by_camera_and_height(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = render_clip(7, "dive")
    (dive,) = clip.dives
    monkeypatch.setattr(random_pools, "render_clip", lambda seed, form: clip)
    late = DetectedDive(dive.takeoff_s + 0.1, dive.entry_s + 0.2, 1.0, "body")
    invented = DetectedDive(dive.takeoff_s - 1.5, dive.entry_s - 1.5, 1.0, "body")
    tables = random_pools_tables(3, 0, {"a": lambda aspect: Says([invented, late]), "b": lambda aspect: Says([])})
    assert "found 0 of 3" in tables[1].note
    table = tables[0]
    (counts,) = [row(table, i) for i in range(len(table.rows))]
    assert (counts["clips"], counts["dives"], counts["found"], counts["false alarms"]) == (3, 3, 3, 3)
    assert (counts["camera"], counts["board, m"]) == (clip.camera, clip.height_m)
    assert counts["entry ms, median"] == pytest.approx(200)
    assert "found 3 of 3 dives in real time, 100.0 %" in table.note
