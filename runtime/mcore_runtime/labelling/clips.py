"""Clips of recorded sessions that can be labelled, their frames, and the label that a session proposes for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.data.manifest import Origin
from mcore.diving import Edition, dive_score, edition_of
from mcore.diving.judging import ROUNDING_POINTS
from mcore.video import look_through, native
from mcore.video.sampling import clip_window
from mcore.video.yuv import Picture
from mcore_runtime.bundle.moments import fit, to_jpeg
from mcore_runtime.labelling.label import ClipFacts, Label, difficulty_of
from mcore_runtime.session import DiveStatus, read_session
from mcore_runtime.session.database import DATABASE_FILE
from mcore_runtime.session.overview import DiveView, overview
from mcore_runtime.session.pictures import SAME_TIME_S, recorded_part

SAME_MOMENT_S = 0.5
"""Network and detector mean the same moment: the detector is 0.4 s early where a hurdle comes before the take-off."""
_MAX_WIDTH, _MAX_HEIGHT = 1280, 540
"""Of a picture on the page: a whole phone screen, and sharp on a desk."""
_KEPT_CLIPS = 4
"""Clips whose pictures stay in memory, 3 to 6 MB each: the one before, this one, and the next, for two people."""


@dataclass(frozen=True)
class ClipFrames:
    """All frames of a clip."""

    times_s: tuple[float, ...]
    """Presentation times from the clip's first frame."""
    jpegs: tuple[bytes, ...]
    """Its pictures; empty: only the times were asked for."""


@dataclass(frozen=True)
class SessionClip:
    """A dive of a session, and the part of its video that is the clip."""

    session: str
    """Name of the session."""
    view: DiveView
    path: Path
    start_s: float
    """Clip start in the video, seconds."""
    end_s: float
    """Clip end (exclusive)."""
    edition: Edition
    """Rules by which the session ran."""
    origin: Origin

    @property
    def name(self) -> str:
        """Name of the clip, such as ``final/3``."""
        return f"{self.session}/{self.view.number}"

    @property
    def height_m(self) -> float | None:
        """Height of the board; None: not known."""
        return None if self.view.entry is None else self.view.entry.height_m

    @property
    def possible_numbers(self) -> tuple[str, ...]:
        """Dive numbers that the network thinks possible, the most probable first."""
        result = self.view.result
        return () if result is None or result.recognition is None else result.recognition.numbers

    @property
    def network_moments_s(self) -> tuple[float, float] | None:
        """Take-off and entry as the network sees them, seconds from the clip's first frame."""
        return None if self.view.result is None else self.view.result.transitions_s

    @property
    def detector_moments_s(self) -> tuple[float, float] | None:
        """Take-off and entry as the detector sees them."""
        dive = self.view.dive
        if dive.takeoff_s is None or dive.entry_s is None:
            return None
        return dive.takeoff_s - dive.start_s, dive.entry_s - dive.start_s

    @property
    def moments_agree(self) -> bool:
        """Return whether network and detector place both moments alike, within ``SAME_MOMENT_S``."""
        network, detector = self.network_moments_s, self.detector_moments_s
        if network is None or detector is None:
            return False
        return all(abs(one - other) <= SAME_MOMENT_S for one, other in zip(network, detector, strict=True))

    @property
    def is_unlike(self) -> bool:
        """Return whether the clip is unlike the dives that the network's bundle knows."""
        return self.view.result is not None and bool(self.view.result.why_unlike)

    def facts(self, num_frames: int) -> ClipFacts:
        """What its line of the list says besides its label; the competition of a real dive is the session."""
        event = self.session if self.origin == "real" else None
        return ClipFacts(self.path, self.start_s, self.end_s, num_frames, self.origin, event)

    def frames(self, *, pictures: bool = True) -> ClipFrames:
        """Read its frames; the newest clips are kept in memory.

        Raises:
            ClipError: the video cannot be read.
        """
        return (_read_pictures if pictures else _read)(self.path, self.start_s, self.end_s)


@dataclass(frozen=True)
class LabelSession:
    """The clips of one session."""

    name: str
    started: str
    """Time of the session's beginning: what tells it from another of the same name."""
    clips: tuple[SessionClip, ...]
    left_out: Mapping[str, int]
    """How many of its dives have no clip here, by the reason."""


def read_sessions(folder: Path, origin: Origin | None = None) -> list[LabelSession]:
    """Read a session, or all sessions in a folder, in the order in which they began.

    Args:
        folder: of a session, or with the folders of several.
        origin: of all videos; None: rendered where the source was a drawn meet, else real.

    Raises:
        UserError: no session there, or one that cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give a session's folder, or one with several sessions")
    folders = (
        [folder] if (folder / DATABASE_FILE).exists() else sorted(p.parent for p in folder.glob(f"*/{DATABASE_FILE}"))
    )
    if not folders:
        raise UserError(f"{folder} holds no session: neither {DATABASE_FILE} nor folders with one")
    return sorted((_read_session(each, origin) for each in folders), key=lambda session: session.started)


def propose(clip: SessionClip, times_s: tuple[float, ...]) -> Label:
    """Label that the session suggests: moments of network or detector, dive number and awards of the meet.

    Args:
        clip: of a session.
        times_s: of its frames.
    """
    network, detector = clip.network_moments_s, clip.detector_moments_s
    # The network is finer where it knows such dives; where it does not, the detector is.
    moments = network if clip.moments_agree and not clip.is_unlike else detector or network
    frames = (None, None) if moments is None else tuple(_frame_at(times_s, moment) for moment in moments)
    number = clip.view.dive_number or next(iter(clip.possible_numbers), "")
    known = clip.view.difficulty if number == clip.view.dive_number else None
    difficulty = known or difficulty_of(number, clip.height_m, clip.edition)
    return Label(
        takeoff_frame=frames[0],
        entry_frame=frames[1],
        dive_number=number,
        difficulty=difficulty,
        judged=_judged(clip, difficulty),
    )


def _judged(clip: SessionClip, difficulty: float | None) -> str:
    """What the meet's judges gave, as a person would type it; empty: nothing that is for the dive alone."""
    judges = clip.view.judges
    if judges is None or not judges.is_comparable:
        return ""
    if makes_points(judges.awards, difficulty, judges.points):
        return " ".join(f"{award:g}" for award in judges.awards)
    return f"{judges.points:g}"


def makes_points(awards: tuple[float, ...], difficulty: float | None, points: float) -> bool:
    """Return whether awards give these points at a difficulty, by the rules."""
    try:
        return difficulty is not None and abs(dive_score(awards, difficulty) - points) < ROUNDING_POINTS
    except UserError:
        return False


def _frame_at(times_s: tuple[float, ...], moment_s: float) -> int:
    """First frame at a moment or after it."""
    return min(int(np.searchsorted(times_s, moment_s - SAME_TIME_S)), len(times_s) - 1)


def _read_session(folder: Path, origin: Origin | None) -> LabelSession:
    data = read_session(folder)
    seen = overview(data)
    if seen.problems:
        raise UserError(f"{folder}: {seen.problems[0]}")
    name, clips, left_out = folder.resolve().name, [], Counter[str]()
    for view in seen.dives:
        part = recorded_part(data.folder, view.dive)
        if view.status is DiveStatus.VOID:
            left_out["void"] += 1
        elif part is None or not (part[0].is_file() and part[0].resolve().is_relative_to(folder.resolve())):
            left_out["no video"] += 1
        else:
            drawn = view.dive.source.startswith("synthetic:")
            made: Origin = origin or ("rendered" if drawn else "real")
            clips.append(SessionClip(name, view, *part, edition_of(data.edition), made))
    return LabelSession(name, data.started, tuple(clips), left_out)


def _read(path: Path, start_s: float, end_s: float, keep: bool = False) -> ClipFrames:
    window, jpegs = slice(0), list[bytes]()

    def begin(times_s: NDArray[np.float64]) -> Callable[[Picture, float], None]:
        nonlocal window
        window = clip_window(times_s, start_s, end_s)
        first_s, last_s = times_s[window][[0, -1]] if window.stop - window.start > 1 else (np.inf, -np.inf)
        jpegs.clear()  # reading may begin anew

        def look(picture: Picture, time_s: float) -> None:
            if keep and first_s <= time_s <= last_s:
                rgb = native.to_rgb(picture)
                jpegs.append(to_jpeg(rgb, fit(rgb.shape[1], rgb.shape[0], _MAX_WIDTH, _MAX_HEIGHT)))

        return look

    times_s = look_through(path, begin)[window]
    if len(times_s) < 2:
        raise UserError(f"{path} has {len(times_s)} frame(s) from {start_s:.2f} s to {end_s:.2f} s; mark it a bad clip")
    return ClipFrames(tuple((times_s - times_s[0]).round(4).tolist()), tuple(jpegs))


@lru_cache(maxsize=_KEPT_CLIPS)
def _read_pictures(path: Path, start_s: float, end_s: float) -> ClipFrames:
    return _read(path, start_s, end_s, keep=True)
