"""A live session: one camera, one engine, one competition; what terminal, page, metrics and webhooks speak to.

Example:
    >>> with EngineThread(open_scorer) as engine, open_source(address) as source:
    ...     with LiveSession(source, engine, LiveSettings(), store=store) as session:
    ...         session.run()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import BundleError, UserError
from mcore.video import SampledClip
from mcore_runtime.competition import Competition
from mcore_runtime.detector import Detector
from mcore_runtime.live.commands import Commands
from mcore_runtime.live.dives import CutDive, Record, RunSummary, summarise
from mcore_runtime.live.events import Broadcast, Subscription
from mcore_runtime.live.headstart import HeadStart
from mcore_runtime.live.ledger import Ledger
from mcore_runtime.live.pipeline import LivePipeline, LiveSettings
from mcore_runtime.live.scorer_thread import EngineThread
from mcore_runtime.live.scoring import failed, scored
from mcore_runtime.live.snapshot import Health, session_part, source_part
from mcore_runtime.live.strips import Strips
from mcore_runtime.report.side_by_side import SideBySide, side_by_side
from mcore_runtime.session import SessionStore
from mcore_runtime.session.rescoring import check_scorable, rescored
from mcore_runtime.sources import Source, SourceState, SourceStatus

_LONGEST_ROUND_S = 20.0
_LONGEST_JOB_S = 60.0
"""A job is a clip, which takes a second on a slow processor, or the engine's opening and a clip."""


class LiveSession:
    """Scores the dives of a source as they happen; a context manager. All methods but ``run`` are for any thread.

    Args:
        source: a running source; its owner closes it.
        engine: owner of the scorer; its owner closes it, after the session.
        settings: how dives are cut.
        store: where results are kept; its owner closes it, after the session. None: nothing is kept.
        competition: the start list of a new session; None: there is none.
        dive_number: number of dives of which the start list says nothing; None: unknown.
        read_health: what the machine says of itself, given the session's folder; None: nothing.
        detector: finds dives; None: the default one.

    Raises:
        UserError: the store's session cannot be gone on with.
    """

    def __init__(
        self,
        source: Source,
        engine: EngineThread,
        settings: LiveSettings,
        *,
        store: SessionStore | None = None,
        competition: Competition | None = None,
        dive_number: str | None = None,
        read_health: Callable[[Path], Mapping[str, Any]] | None = None,
        detector: Detector | None = None,
    ) -> None:
        self._source, self._engine, self._settings, self._store = source, engine, settings, store
        self._news = Broadcast()
        self._ledger = Ledger(store, competition or Competition(), dive_number, self._news)
        self._health = Health(self._ledger.folder, read_health)
        self._strips = Strips(self._load_strip, engine.scorer.bundle.model.tokens_per_stage)
        self._exemplars = engine.scorer.bundle.exemplar_pictures()
        self._commands = Commands(self._ledger, self)
        self._pipeline = LivePipeline(
            source,
            engine.scorer.clip_config,
            settings,
            self._take_dive,
            on_status=self._source_changed,
            on_sight=self._ledger.changed,
            head_start=_head_start(engine),
            detector=detector,
        )
        self._stopped = threading.Event()
        engine.on_state = self._engine_changed

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        self._engine.drain()
        self._ledger.drain()

    @property
    def is_stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopped.is_set()

    def is_working(self) -> bool:
        """Whether neither the pipeline nor the engine hangs, such as in a driver that never answers."""
        return self._pipeline.stands_still_s < _LONGEST_ROUND_S and self._engine.busy_s < _LONGEST_JOB_S

    def describe(self) -> str:
        """Say in one line how it goes."""
        status, summary = self._source.status(), self.summary()
        problem = self._ledger.problem or self._engine.problem
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
        self.drain()
        self._ledger.close()
        self._news.close()

    def summary(self) -> RunSummary:
        """Say how the session went so far."""
        status = self._source.status()
        return summarise(
            self._ledger.records(), frames=status.frames, dropped=status.dropped, connections=status.connections
        )

    def snapshot(self) -> dict[str, Any]:
        """Return all that a page shows, as plain JSON; cheap. Not to be written to."""
        ledger = self._ledger
        revision, view = ledger.revision, ledger.view()
        return {
            "version": 1,
            "revision": revision,
            "session": session_part(self._engine, self._settings, ledger),
            "source": source_part(self._source.status()),
            "detector": {"state": self._detector_state()},
            **view,
            "health": self._health.read(ledger.records(), self._engine.waiting),
        }

    def dive(self, number: int) -> Record | None:
        """Return the whole record of a dive, ``LiveDive.to_json``; None: there is no such dive."""
        return self._ledger.record(number)

    def subscribe(self, limit: int = 64) -> Subscription:
        """Listen to events: ``{"type": "dive", "dive": record}``, ``{"type": "changed"}`` (anything in the snapshot),
        ``{"type": "source", "source": part of the snapshot}``.

        Args:
            limit: events that wait for a slow listener; the oldest are dropped beyond that.
        """
        return self._news.subscribe(limit)

    def picture(self) -> tuple[int, NDArray[np.uint8]] | None:
        """Return the newest frame: its number, and (h, w, 3) RGB, not to be written to. None: there is none."""
        frame = self._pipeline.frame
        return None if frame is None else (frame.sequence, frame.rgb)

    def strip(self, number: int) -> list[bytes] | None:
        """Return up to twelve JPEGs of a dive's scored frames; None: they were not kept."""
        drawn = self._strips.get(number)
        return None if drawn is None else list(drawn.strip)

    def beside(self, number: int) -> SideBySide | None:
        """Return a dive and its closest exemplar, moment by moment; None: there are no pictures of one of them."""
        record, drawn = self._ledger.record(number), self._strips.get(number)
        if record is None or record["result"] is None or drawn is None:
            return None
        result = record["result"]
        closest, scored_by = result["exemplars"][0]["name"], result["backend"]["bundle_sha256"]
        try:
            return side_by_side(closest, scored_by, drawn.moments, self._exemplars)
        except BundleError:  # moved or replaced meanwhile: scores do not need it, and nobody may miss a dive for it
            return None

    def clip_path(self, number: int) -> Path | None:
        """Return the MP4 file of a dive; None: there is none."""
        record, folder = self._ledger.record(number), self._ledger.folder
        if record is None or folder is None or record["recording"] is None:
            return None
        path: Path = folder / record["recording"]
        return path if path.is_file() else None

    def command(self, name: str, **arguments: Any) -> None:
        """Do what an operator asks; see ``mcore_runtime.live.commands``. It is on the disk when this returns.

        Raises:
            UserError: no such command, other arguments, or one that is not possible now.
        """
        self._commands.run(name, arguments)

    def trigger(self) -> None:
        """Say that a dive has just ended.

        Raises:
            UserError: no picture has come from the source.
        """
        if self._pipeline.frame is None:
            raise UserError("there is no picture yet, so there is no dive to score; is the camera on?")
        self._pipeline.trigger()

    def rescore(self, number: int) -> None:
        """Score a dive again, from the frames that were kept.

        Raises:
            UserError: there is no such dive, it must not be scored, or its frames were not kept.
        """
        record = self._ledger.record(number)
        if record is None:
            raise UserError(f"there is no dive {number}")
        if record["status"] == "scoring":
            raise UserError(f"dive {number} is being scored; wait for its score")
        check_scorable(record)
        if self._store is None:
            raise UserError("this session keeps no frames, so no dive can be scored again")
        clip = self._store.load_clip(number)
        self._ledger.to_engine(number)
        self._engine.submit(
            lambda scorer: self._rescored(number, rescored(scorer, record, clip, any_exemplar=True), clip),
            lambda error: self._not_rescored(number, error),
        )

    def _rescored(self, number: int, record: Record, clip: SampledClip) -> None:
        def change(old: Record) -> Record:
            kept = ("order", "athlete", "club", "recording", "recording_start_s")
            new = record | {name: old[name] for name in kept}
            return new | {"status": "void", "status_before": "scored"} if old["status"] == "void" else new

        self._strips.put(number, clip, record["result"]["transitions"])  # before anybody hears of the new result
        self._ledger.change(number, change, settled=True)

    def _not_rescored(self, number: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        self._ledger.log("engine", f"dive {number} could not be scored again: {reason}")
        self._ledger.change(
            number, lambda old: old if old["status"] != "failed" else {**old, "reasons": [reason]}, settled=True
        )

    def _take_dive(self, cut: CutDive) -> None:
        """Enter a dive and give it to the engine, in the pipeline's thread."""
        dive = self._ledger.open_dive(cut)
        if dive.status == "invalid":
            self._ledger.close_dive(dive, cut, lambda record: self._draw(record, cut))
            return
        self._engine.submit(
            lambda scorer: self._ledger.close_dive(scored(scorer, dive, cut), cut, lambda r: self._draw(r, cut)),
            lambda error: self._ledger.close_dive(failed(dive, error), cut, lambda r: self._draw(r, cut)),
        )

    def _draw(self, record: Record, cut: CutDive) -> None:
        if cut.clip is not None:
            self._strips.put(record["number"], cut.clip, _transitions(record))

    def _load_strip(self, number: int) -> tuple[SampledClip, Sequence[int]] | None:
        record = self._ledger.record(number)
        if record is None or self._store is None:
            return None
        try:
            return self._store.load_clip(number), _transitions(record)
        except UserError:
            return None

    def _detector_state(self) -> str:
        if self._pipeline.sees_dive:
            return "dive seen"
        if self._ledger.is_scoring:
            return "scoring"
        return "watching" if self._settings.mode == "auto" else "off"

    def _source_changed(self, status: SourceStatus) -> None:
        text = status.state.value if status.error is None else f"{status.state.value}: {status.error}"
        self._ledger.log("source", text if status.state is not SourceState.STREAMING else status.state.value)
        self._ledger.changed()
        self._news.send({"type": "source", "source": source_part(status)})

    def _engine_changed(self, problem: str | None) -> None:
        backend = self._engine.scorer.backend
        self._ledger.log("engine", problem or f"open again: {backend.name}, {backend.provider}")
        self._ledger.changed()


def _head_start(engine: EngineThread) -> HeadStart | None:
    split = engine.scorer.split
    return None if split is None else HeadStart(split.prefix_frames, engine.offer)


def _transitions(record: Record) -> Sequence[int]:
    return () if record["result"] is None else tuple(record["result"]["transitions"])
