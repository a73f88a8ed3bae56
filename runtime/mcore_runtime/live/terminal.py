"""What a person at the terminal, or a program behind it, hears of a session: a line for every dive."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console

from mcore_runtime.live.dives import RunSummary
from mcore_runtime.live.events import Event, Subscription
from mcore_runtime.scoring.result import percent

_PATIENCE_S = 5.0
"""Whoever reads the lines may be this late at the end."""


@dataclass(frozen=True)
class Voice:
    """Where to speak, and how."""

    console: Console
    json: bool = False
    """Dives as lines of JSON on standard output, everything else on standard error."""
    quiet: bool = False
    """Neither dives nor the source in words."""

    def say(self, text: str) -> None:
        """Print a line that ``quiet`` leaves out."""
        if not self.quiet:
            self.tell(text)

    def warn(self, text: str) -> None:
        """Print a line that says what may be wrong."""
        self.tell(f"warning: {text}")

    def tell(self, text: str) -> None:
        """Print a line in any case."""
        self.console.print(text, markup=False)


class Terminal:
    """Prints a session's events in a thread of its own: a terminal that stands still holds nothing up.

    A context manager; leave the session before it, so that it hears the end.

    Args:
        voice: where to print.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def listen(self, subscription: Subscription) -> None:
        """Print what comes, until nothing will."""
        self._thread = threading.Thread(target=self._run, args=(subscription,), name="terminal", daemon=True)
        self._thread.start()

    def _run(self, subscription: Subscription) -> None:
        with subscription:
            while not subscription.is_over:
                event = subscription.get(None)
                if event is None:
                    continue
                try:
                    self._print(event)
                except OSError:  # whoever listened has gone; the competition goes on
                    return

    def _print(self, event: Event) -> None:
        if event["type"] == "source":
            self._voice.say(source_line(event["source"]))
        elif event["type"] == "dive" and self._voice.json:
            sys.stdout.write(json.dumps(event["dive"], allow_nan=False) + "\n")
            sys.stdout.flush()
        elif event["type"] == "dive":
            self._voice.say(dive_line(event["dive"]))


def source_line(source: Mapping[str, Any]) -> str:
    """Say in one line how the source is."""
    text = f"{source['name']}: {source['state']}"
    if source["state"] == "streaming" and source["size"] is not None:
        text += " {}x{}".format(*source["size"])
        return text + (f", connection {source['connections']}" if source["is_live"] else "")
    return text if source["error"] is None else f"{text}, {source['error']}"


def dive_line(dive: Mapping[str, Any]) -> str:
    """Say in one line what became of a dive."""
    who = "" if not dive["athlete"] else f" {dive['athlete']}"
    head = f"#{dive['number']}{who} {dive['dive_number'] or 'unknown dive'}"
    result = dive["result"]
    if dive["status"] != "scored":
        return f"{head}: {dive['status']}" + (f": {'; '.join(dive['reasons'])}" if dive["reasons"] else "")
    interval = "" if result["low"] is None else f" ({_interval(result)})"
    flight_s, entry_s = result["transitions_s"]
    waited = "" if dive["time_to_score_ms"] is None else f"; {dive['time_to_score_ms']:.0f} ms after its last frame"
    others = "" if result["same_dive_number"] else "; compared with other dive numbers"
    stages = f"flight from {flight_s:.2f} s, entry at {entry_s:.2f} s"
    return f"{head}: {result['score']:.1f}{interval}; {stages}; seen by {dive['found_by']}{waited}{others}"


def summary_line(summary: RunSummary) -> str:
    """Say in one line how a session went."""
    times = ", ".join(f"{name} {value:.0f}" for name, value in summary.time_to_score_ms.items())
    void = f", {summary.void} void" if summary.void else ""
    early = f"{summary.begun_early} begun before their end; " if summary.begun_early else ""
    timed = "time to score in ms: " + times + "; " if times else ""
    return (
        f"{summary.dives} dives: {summary.scored} scored, {summary.invalid} invalid, {summary.failed} failed{void}; "
        f"{early}{timed}{summary.frames} frames, {summary.dropped} dropped, {summary.connections} connections"
    )


def _interval(result: Mapping[str, Any]) -> str:
    level = result["interval_level"]
    return f"{'spread' if level is None else percent(level) + ':'} {result['low']:.1f} to {result['high']:.1f}"
