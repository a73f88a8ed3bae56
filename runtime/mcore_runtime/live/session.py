"""A live session: one camera, one scorer, one competition; what terminal, page, metrics and webhooks speak to.

Example:
    >>> with ScorerThread(open_scorer) as scorer, open_source(address) as source:
    ...     with LiveSession(source, scorer, LiveSettings(), store=store) as session:
    ...         session.run()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import BundleError, UserError
from mcore.video import SampledClip
from mcore_runtime.competition import Competition
from mcore_runtime.detector import DetectedDive, Detector
from mcore_runtime.live.broadcast import Broadcast, DetectorNews, SourceNews, Subscription
from mcore_runtime.live.commands import Command, Rescore, Stop, Trigger, parse_command
from mcore_runtime.live.cut_dive import CutDive
from mcore_runtime.live.events import DiveDoubted, DiveOpened, Logged, MeetHeard, PicturesLost, RescoreBegun
from mcore_runtime.live.meeting import restored_meet
from mcore_runtime.live.pipeline import LivePipeline, LiveSettings
from mcore_runtime.live.prefix import PrefixScheduler
from mcore_runtime.live.scorer_thread import ScorerThread
from mcore_runtime.live.scoring import RescoreJob, ScoreJob
from mcore_runtime.live.session_state import Change, SessionState
from mcore_runtime.live.snapshot import Health, source_part, state_part
from mcore_runtime.live.state import check_rescorable, parse_dive_number, restored_session
from mcore_runtime.live.strips import Strips
from mcore_runtime.live.writer import STATE_KEY, SessionWriter, Submitted
from mcore_runtime.meet.feed import MeetFeed
from mcore_runtime.meet.message import Message
from mcore_runtime.meet.record import MeetProgress
from mcore_runtime.report.exemplar_comparison import ComparedMoments, compare_with_exemplar
from mcore_runtime.session import DiveStatus, LiveDive, SessionStore
from mcore_runtime.session.dive import utc_now
from mcore_runtime.session.overview import MEET_KEY
from mcore_runtime.session.summary import RunSummary, summarise
from mcore_runtime.sources import Source, SourceState, SourceStatus

_MAX_ROUND_S = 20.0
_MAX_JOB_S = 60.0
"""A job is a clip, which takes a second on a slow processor, or the scorer's opening and a clip."""


class LiveSession:
    """Scores the dives of a source as they happen; a context manager. All methods but ``run`` are for any thread.

    Args:
        source: a running source; its owner closes it.
        scorer: owner of the scorer; its owner closes it, after the session.
        settings: how dives are cut.
        store: where results are kept; its owner closes it, after the session. None: nothing is kept.
        competition: the start list of a new session; None: there is none.
        dive_number: number of dives of which the start list says nothing; None: unknown.
        read_health: what the machine says of itself, given the session's folder; None: nothing.
        detector: finds dives; None: the default one, with the bundle's spotter.
        meet: says who dives and what the judges gave; closed with the session. None: nobody does.

    Raises:
        UserError: the store's session cannot be gone on with.
    """

    def __init__(
        self,
        source: Source,
        scorer: ScorerThread,
        settings: LiveSettings,
        *,
        store: SessionStore | None = None,
        competition: Competition | None = None,
        dive_number: str | None = None,
        read_health: Callable[[Path], Mapping[str, Any]] | None = None,
        detector: Detector | None = None,
        meet: MeetFeed | None = None,
    ) -> None:
        self._source, self._scorer, self._store = source, scorer, store
        self._settings = settings if store is not None else replace(settings, record=False)
        self._started = utc_now() if store is None else store.started
        self._folder = None if store is None else store.folder
        self._news = Broadcast()
        state = replace(
            _begin(store, competition or Competition(), parse_dive_number(dive_number)),
            accept_unlike=settings.accept_unlike,
            hold_back=settings.hold_back,
        )
        state = _with_meet(state, store, listens=meet is not None)
        self._meet = meet
        self._writer = SessionWriter(state, store, self._news)
        self._view: tuple[SessionState, dict[str, Any]] = (state, state_part(state))
        self._health = Health(self._folder, read_health)
        tokens_per_stage = scorer.scorer.bundle.model.tokens_per_stage
        self._strips = Strips(self._load_clip, tokens_per_stage, self._folder, self._pictures_lost)
        self._exemplars = scorer.scorer.bundle.exemplar_pictures()
        streaming = scorer.scorer.streaming_backbone
        self._pipeline = LivePipeline(
            source,
            scorer.scorer.clip_config,
            self._settings,
            self._take_dive,
            on_status=self._source_changed,
            on_sight=self._writer.announce,
            on_slow_motion=self._saw_slow_motion,
            prefixes=None if streaming is None else PrefixScheduler(streaming.prefix_frames, scorer.offer),
            detector=detector,
            spotter=scorer.scorer.bundle.spotter,
        )
        self._stopped = threading.Event()
        scorer.on_event = self._writer.submit
        if meet is not None:
            meet.listen(self.hear)

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Exception):
            self.close()
        self._news.close()  # after a second Ctrl-C nobody waits for anything

    def run(self) -> RunSummary:
        """Watch until the source ends or ``stop`` is called; then wait for the last score.

        Raises:
            UserError: the source failed for good; dives before that are scored and kept first.
        """
        try:
            self._pipeline.run()
        finally:
            self.drain()
        return self.summary()

    def drain(self) -> None:
        """Wait until every dive so far is scored and kept."""
        self._scorer.drain()
        self._writer.drain()

    @property
    def is_stopped(self) -> bool:
        """Return whether ``stop`` was called."""
        return self._stopped.is_set()

    def is_working(self) -> bool:
        """Return whether neither the pipeline nor the scorer hangs, such as in a driver that never answers."""
        return self._pipeline.stands_still_s < _MAX_ROUND_S and self._scorer.busy_s < _MAX_JOB_S

    def describe(self) -> str:
        """Say in one line how it goes."""
        status, summary = self._source.status(), self.summary()
        problem = self._writer.problem or self._scorer.problem
        return f"{status.state.value}, {summary.dives} dives, {summary.scored} scored" + (
            "" if problem is None else f"; {problem}"
        )

    def wait_for_stop(self) -> None:
        """Wait until ``stop`` is called, by a command or a signal."""
        while not self._stopped.wait(1.0):  # an endless wait would keep Python from handling signals on some systems
            pass

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stopped.set()
        self._pipeline.stop()

    def close(self) -> None:
        """Keep what is left, and let go of all listeners."""
        if self._meet is not None:
            self._meet.close()  # what comes later would be written by nobody
        self.drain()
        self._writer.close()
        self._news.close()

    def summary(self) -> RunSummary:
        """Say how the session went so far."""
        status, dives = self._source.status(), list(self._writer.shown.dives.values())
        return summarise(dives, frames=status.frames, dropped=status.dropped, connections=status.connections)

    def snapshot(self) -> dict[str, Any]:
        """Return all that a page shows, as plain JSON; cheap. Not to be written to."""
        writer = self._writer
        revision, shown = writer.revision, writer.shown  # in this order: a newer state is announced once more
        view = self._view
        if view[0] is not shown:
            view = self._view = (shown, state_part(shown))
        return {
            "version": 1,
            "revision": revision,
            "session": self._session_part(),
            "source": source_part(self._source.status()),
            "detector": {"state": self._detector_state()},
            **view[1],
            "meet_feed": None if self._meet is None else msgspec.to_builtins(self._meet.status),
            "health": self._health.read(shown.dives.values(), self._scorer.waiting),
        }

    def dive(self, number: int) -> LiveDive | None:
        """Return a dive; None: there is no such dive."""
        return self._writer.shown.dives.get(number)

    def subscribe(self, limit: int = 64) -> Subscription:
        """Listen to what happens from now on.

        Args:
            limit: news that wait for a slow listener; the oldest are dropped beyond that.
        """
        return self._news.subscribe(limit)

    def picture(self) -> tuple[int, NDArray[np.uint8]] | None:
        """Return the newest frame: its number, and (h, w, 3) RGB, not to be written to. None: there is none."""
        frame = self._pipeline.frame
        return None if frame is None else (frame.sequence, frame.rgb)

    def strip(self, number: int) -> list[bytes] | None:
        """Return up to twelve JPEGs of a dive's scored frames; None: they were not kept."""
        dive = self.dive(number)
        drawn = None if dive is None else self._strips.get(dive)
        return None if drawn is None else list(drawn.strip)

    def exemplar_comparison(self, number: int) -> ComparedMoments | None:
        """Return a dive and its closest exemplar, moment by moment; None: there are no pictures of one of them."""
        dive = self.dive(number)
        if dive is None or dive.result is None or dive.held or (drawn := self._strips.get(dive)) is None:
            return None
        closest, scored_by = dive.result.exemplars[0].name, dive.result.backend.bundle_sha256
        try:
            return compare_with_exemplar(closest, scored_by, drawn.moments, self._exemplars)
        except BundleError:  # moved or replaced meanwhile: scores do not need it, and nobody may miss a dive for it
            return None
        except Exception as error:
            self._log("pictures", f"dive {number} cannot be shown beside its exemplar: {type(error).__name__}: {error}")
            return None

    def clip_path(self, number: int) -> Path | None:
        """Return the MP4 file of a dive; None: there is none."""
        dive = self.dive(number)
        if dive is None or self._folder is None or dive.recording is None:
            return None
        path = self._folder / dive.recording
        return path if path.is_file() else None

    def command(self, name: str, **arguments: Any) -> None:
        """Do what an operator asks; see ``mcore_runtime.live.commands``. It is on the disk when this returns.

        Raises:
            UserError: no such command, other arguments, one that is not possible now, or it is not on the disk.
        """
        self.do(parse_command(name, arguments))

    def do(self, command: Command) -> None:
        """Do a command; raises as ``command``."""
        match command:
            case Trigger():
                self._trigger()
            case Rescore(number):
                self._rescore(number).wait()
            case Stop():
                self.stop()
                self._log("operator", "stopped the session")
            case _:
                submitted = self._writer.submit(command)
                self._rescore_corrected(submitted.change)
                submitted.wait()

    def hear(self, message: Message, sender: str, time: str) -> None:
        """Take what the meet's software says, without waiting for the disk.

        Args:
            message: of the event that is listened to.
            sender: address of the computer that sent it.
            time: at which it came, ISO 8601, UTC.
        """
        self._rescore_corrected(self._writer.submit(MeetHeard(message, sender, time)).change)

    def _trigger(self) -> None:
        """A dive has just ended."""
        if self._pipeline.frame is None:
            raise UserError("there is no picture yet, so there is no dive to score; is the camera on?")
        self._pipeline.trigger()
        self._log("operator", "said that a dive has just ended")

    def _rescore(self, number: int) -> Submitted:
        """Have a dive scored again, from the frames that were kept."""
        dive = check_rescorable(self._writer.state, number)
        if self._store is None:
            raise UserError("this session keeps no frames, so no dive can be scored again")
        clip = self._store.load_clip(number)
        submitted = self._writer.submit(RescoreBegun(number))
        difficulty = submitted.change.state.competition.difficulty_of(number)
        self._scorer.submit(RescoreJob(dive, difficulty, clip))  # also where the disk is full: scoring needs none
        return submitted

    def _rescore_corrected(self, change: Change) -> None:
        """Dives were others than was announced, so their scores are by the wrong exemplars or difficulty."""
        for number in change.rescore:
            self._rescore_if_possible(number)

    def _rescore_if_possible(self, number: int) -> None:
        try:
            self._rescore(number)
        except UserError as error:
            self._log("operator", f"dive {number} keeps the score of another dive number or difficulty: {error}")

    def _take_dive(self, cut: CutDive) -> None:
        """Enter a dive and give it to the scorer, in the pipeline's thread; waits neither for the disk nor for it."""
        state = self._writer.submit_dive(DiveOpened(cut, utc_now())).change.state
        dive = state.dives[max(state.dives)]
        if cut.clip is not None:
            self._strips.add(dive.number, cut.clip)
        if dive.status is DiveStatus.SCORING:
            difficulty = state.competition.difficulty_of(dive.number)
            self._scorer.submit(ScoreJob(dive.number, dive.dive_number, difficulty, cut))

    def _load_clip(self, number: int) -> SampledClip | None:
        if self._store is None:
            return None
        try:
            return self._store.load_clip(number)
        except UserError:
            return None

    def _pictures_lost(self, number: int, reason: str) -> None:
        self._writer.submit(PicturesLost(number, reason))

    def _session_part(self) -> dict[str, Any]:
        """Return the snapshot's part about the session: scorer, folder and settings."""
        scorer, folder, problem = self._scorer.scorer, self._folder, self._scorer.problem
        return {
            "name": "" if folder is None else folder.resolve().name,
            "started": self._started,
            "mode": self._settings.mode,
            "edition": self._settings.edition,
            "bundle": str(scorer.bundle.path),
            "bundle_sha256": scorer.bundle.sha256,
            "caution": scorer.bundle.caution,
            "backend": scorer.backend.name,
            "provider": scorer.backend.provider,
            "precision": scorer.compute_dtype,
            "folder": "" if folder is None else str(folder),
            "problem": self._writer.problem or (None if problem is None else f"the scorer failed: {problem}"),
        }

    def _detector_state(self) -> str:
        if self._pipeline.sees_dive:
            return "dive seen"
        if self._writer.state.with_scorer:
            return "scoring"
        return "watching" if self._settings.mode == "auto" else "off"

    def _source_changed(self, status: SourceStatus) -> None:
        text = status.state.value if status.error is None else f"{status.state.value}: {status.error}"
        if status.state is SourceState.STREAMING:
            text = "; ".join(filter(None, (f"streaming, read by {status.reader}", status.decoder_note)))
        self._log("source", text)
        self._news.send(SourceNews(status))

    def _saw_slow_motion(self, dive: DetectedDive) -> None:
        text = f"{dive.describe_slow_motion()}: it is not scored"
        newest = {known.entry_s: known.number for _, known in sorted(self._writer.state.dives.items())}
        for other in dive.instead_of:
            # Nothing is voided: the surer look may be wrong, and a void dive would shift the start list.
            doubt = f"the dive that entered the water at {other.entry_s:.1f} s may be this; void it if it was a replay"
            text = f"{text}; {doubt}"
            if (number := newest.get(other.entry_s)) is not None:
                self._writer.submit(DiveDoubted(number, f"{dive.describe_slow_motion()}; {doubt}"))
        self._log("detector", text)
        self._news.send(DetectorNews(text))

    def _log(self, kind: str, text: str) -> None:
        """Keep that something happened, without waiting for it."""
        self._writer.submit(Logged(kind, text))


def _begin(store: SessionStore | None, competition: Competition, dive_number: str | None) -> SessionState:
    """Return the state to begin with, or to go on with where the store holds one.

    Raises:
        UserError: there is a start list in the store already and another one is given, or it cannot be read.
    """
    saved = None if store is None else store.load_state(STATE_KEY)
    if store is None or saved is None:
        dives = {} if store is None else {dive.number: dive for dive in store.dives()}
        return SessionState(competition, dive_number, dives)
    state = restored_session(store.dives(), saved)
    if state.competition.entries and competition.entries:
        raise UserError(
            f"the session in {store.folder} has its start list already; go on without --start-list, and edit it on "
            "the page"
        )
    return replace(
        state,
        competition=competition if competition.entries else state.competition,
        default_dive_number=state.default_dive_number if dive_number is None else dive_number,
    )


def _with_meet(state: SessionState, store: SessionStore | None, *, listens: bool) -> SessionState:
    """Add what a meet has said so far; where nobody listens any more, the operator leads and nothing is held back."""
    meet = None if store is None else restored_meet(store.load_state(MEET_KEY))
    if not listens:
        dives = {number: replace(dive, held=False) for number, dive in state.dives.items()}
        led = None if meet is None else replace(meet, leads=False)
        return replace(state, meet=led, hold_back=False, dives=dives)
    return replace(state, meet=meet or MeetProgress())
