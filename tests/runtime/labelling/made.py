"""Sessions with numbered videos, results and awards, as a run at a meet leaves them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mcore_runtime.competition import Competition, Entry
from mcore_runtime.meet.record import JudgesResult
from mcore_runtime.session import DiveStatus, LiveDive, SessionStore
from mcore_runtime.session.overview import STATE_KEY
from tests.numbered_video import FPS, write_numbered
from tests.runtime.session.made import FACTS
from tests.runtime.web.fake_session import dive_record

NUM_FRAMES, VIDEO_FRAMES, FIRST = 90, 105, 10
"""Frames of a clip and of its video, and where the clip begins in it."""
TAKEOFF, ENTRY = 36, 78
"""As the network of ``dive_record`` sees them: 1.2 and 2.6 s at 30 frames a second."""
AWARDS = (7.0, 7.5, 7.0, 7.0, 6.5, 7.0, 8.0)
POINTS = 65.1
"""Of these awards at 3.1."""


def judges(**changes: Any) -> JudgesResult:
    panel = tuple(f"J{place}" for place in range(1, 8))
    return replace(JudgesResult(POINTS, AWARDS, panel, "2026-12-01T10:00:00.000+00:00", "Men 3 m"), **changes)


def dive(number: int, *, has_video: bool = True, status: str = "scored", **changes: Any) -> LiveDive:
    """A dive of which network, detector and meet say the same."""
    entry = Entry(number, f"Diver {number}", dive_number="107B", difficulty=3.1, height_m=3)
    made = dive_record(number, entry, 61.0, DiveStatus(status))
    values: dict[str, Any] = {
        "source": "rtsp://camera/…",
        "start_s": 100.0,
        "end_s": 100.0 + (NUM_FRAMES - 1) / FPS,
        "recording_start_s": 100.0 - FIRST / FPS,
        "recording": f"clips/dive-{number:04d}.mp4" if has_video else None,
        "takeoff_s": 101.1,
        "entry_s": 102.5,
        "judges": judges(),
    }
    return replace(made, **(values | changes))


def make_session(folder: Path, *dives: LiveDive) -> Path:
    """A session; all its videos are alike."""
    entries = tuple(
        Entry(each.number, each.athlete, dive_number=each.dive_number, difficulty=3.1, height_m=3) for each in dives
    )
    competition = Competition.begin(entries)
    with SessionStore.create(folder, FACTS) as store:
        for each in dives:
            competition = competition.assign(each.number, each.number)
            store.save_dive(each)
            if each.recording is not None:
                (folder / "clips").mkdir(exist_ok=True)
                (folder / each.recording).write_bytes(_video())
        store.save_state(STATE_KEY, competition.to_json())
    return folder


@lru_cache(maxsize=1)
def _video() -> bytes:
    """Encoded once for all tests."""
    with TemporaryDirectory() as folder:
        return write_numbered(Path(folder) / "v.mp4", VIDEO_FRAMES).read_bytes()
