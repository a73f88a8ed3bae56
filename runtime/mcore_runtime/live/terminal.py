"""Output of a session for a person at the terminal, or a program behind it: a line for every dive."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from rich.console import Console

from mcore.common.printable import printable_message
from mcore.common.typed_json import encode
from mcore_runtime.live.broadcast import DetectorNews, DiveNews, News, ProblemNews, SourceNews, Subscription
from mcore_runtime.session.dive import DiveStatus, FoundBy, LiveDive
from mcore_runtime.session.summary import RunSummary
from mcore_runtime.sources import SourceState, SourceStatus

_TIMEOUT_S = 5.0
"""Whoever reads the lines may be this late at the end."""
_FOUND_BY = {
    FoundBy.MOTION: "found by motion",
    FoundBy.CAMERA_TRACKING: "found by camera tracking",
    FoundBy.SPOTTER: "found by the spotter",
    FoundBy.OPERATOR: "found by the operator",
    FoundBy.WHOLE_FILE: "the whole file",
}


@dataclass(frozen=True)
class RunLog:
    """Lines for the terminal."""

    console: Console
    json: bool = False
    """Dives as lines of JSON on standard output, everything else on standard error."""
    quiet: bool = False
    """Neither dives nor the source in words."""

    def info(self, text: str) -> None:
        """Print a line that ``quiet`` leaves out."""
        if not self.quiet:
            self.always(text)

    def warning(self, text: str) -> None:
        """Print a line that says what may be wrong."""
        self.always(f"warning: {text}")

    def always(self, text: str) -> None:
        """Print a line; where the terminal is gone, to nobody."""
        # Of a pipe that nobody reads any more rich makes SystemExit: a terminal that was closed must not end a run.
        with suppress(OSError, SystemExit):
            self.console.print(printable_message(text), markup=False)


class Terminal:
    """Prints a session's news in a thread of its own: a terminal that stands still holds nothing up.

    A context manager; leave the session before it, so that it hears the end.

    Args:
        log: where to print.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.join(_TIMEOUT_S)

    def listen(self, subscription: Subscription) -> None:
        """Print what comes, until nothing will."""
        self._thread = threading.Thread(target=self._run, args=(subscription,), name="terminal", daemon=True)
        self._thread.start()

    def _run(self, subscription: Subscription) -> None:
        with subscription:
            while not subscription.is_over:
                news = subscription.get(None)
                if news is None:
                    continue
                try:
                    self._print(news)
                except OSError:  # whoever listened has gone; the competition goes on
                    return

    def _print(self, news: News) -> None:
        match news:
            case SourceNews(status):
                self._log.info(source_line(status))
            case DetectorNews(text):
                self._log.info(text)
            case ProblemNews(None):
                self._log.info("everything is on the disk again")
            case ProblemNews(problem):
                self._log.warning(f"not on the disk: {problem}")
            case DiveNews(dive) if self._log.json:
                sys.stdout.write(encode(dive.to_shown_json()) + "\n")
                sys.stdout.flush()
            case DiveNews(dive):
                self._log.info(dive_line(dive))


@contextmanager
def outlive_terminal(on_closed: Callable[[], None]) -> Iterator[None]:
    """Go on when the terminal is closed, as with the SSH session that began the run; what is printed goes nowhere then.

    A lost connection at the pool must not end a competition. Whoever wants to end the run has the page, and
    ``kill -INT``.

    Args:
        on_closed: called when it happens.
    """
    signal_number = getattr(signal, "SIGHUP", None)  # Windows has none
    if signal_number is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            if os.isatty(fd):
                os.dup2(nowhere, fd)
        os.close(nowhere)
        threading.Thread(target=on_closed, name="terminal closed", daemon=True).start()  # may wait for the disk

    before = signal.getsignal(signal_number)
    signal.signal(signal_number, leave)
    try:
        yield
    finally:
        signal.signal(signal_number, before)


def source_line(status: SourceStatus) -> str:
    """Say in one line how the source is."""
    text = f"{status.name}: {status.state.value}"
    if status.state is SourceState.STREAMING and status.size is not None:
        text += " {}x{}".format(*status.size)
        text += f", connection {status.connections}" if status.is_live else ""
        text += f", read by {status.reader}"
        return text if status.decoder_note is None else f"{text}; {status.decoder_note}"
    return text if status.error is None else f"{text}, {status.error}"


def dive_line(dive: LiveDive) -> str:
    """Say in one line what became of a dive."""
    who = "" if not dive.athlete else f" {dive.athlete}"
    head = f"#{dive.number}{who} {dive.dive_number or 'unknown dive'}"
    if dive.hides_score:
        return f"{head}: scored; held back until the judges' awards are in"
    result = dive.result
    caution = "" if result is None or result.caution is None else f"; {result.caution}"
    if result is not None and dive.status is DiveStatus.UNLIKE:
        return f"{head}: unlike the known dives ({result.score:.1f} does not count): {'; '.join(dive.reasons)}{caution}"
    if result is None or dive.status is not DiveStatus.SCORED:
        return f"{head}: {dive.status.value}" + (f": {'; '.join(dive.reasons)}" if dive.reasons else "")
    interval = "" if result.low is None else f" ({result.interval_text})"
    award = "" if result.award is None else f"; {result.award.text}"
    flight_s, entry_s = result.transitions_s
    waited = "" if dive.time_to_score_ms is None else f"; {dive.time_to_score_ms:.0f} ms after its last frame"
    notes = "".join(f"; note: {note}" for note in (*dive.notes, *result.notes))
    given = "" if dive.judges is None else f"; judges {dive.judges.points:.2f}"
    points = f"{result.score:.1f}{interval}{award}{given}"
    stages = f"flight from {flight_s:.2f} s, entry at {entry_s:.2f} s"
    return f"{head}: {points}; {stages}; {_FOUND_BY[dive.found_by]}{waited}{caution}{notes}"


def summary_line(summary: RunSummary) -> str:
    """Say in one line how a session went."""
    times = ", ".join(f"{name} {value:.0f}" for name, value in summary.time_to_score_ms.items())
    void = f", {summary.unlike} unlike" if summary.unlike else ""
    void += f", {summary.void} void" if summary.void else ""
    head_starts = f"{summary.head_starts} with a head start; " if summary.head_starts else ""
    timed = "time to score in ms: " + times + "; " if times else ""
    doubts = "".join(f"; {doubt}" for doubt in summary.doubts)
    return (
        f"{summary.dives} dives: {summary.scored} scored, {summary.invalid} invalid, {summary.failed} failed{void}; "
        f"{head_starts}{timed}{summary.frames} frames, {summary.dropped} dropped, "
        f"{summary.connections} connections{doubts}"
    )
