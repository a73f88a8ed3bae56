"""Meet software, also without a meet: simulate DiveRecorder, replay its messages, listen to it, read its archive.

    mcore-meet simulate list.csv
    mcore-meet simulate --film "synthetic://meet?seed=1" --mishaps scratch second-event
    mcore-meet replay sessions/final/meet_packets.jsonl --speed 10
    mcore-meet listen diverecorder://0.0.0.0:58091?event=A
    mcore-meet start-list Archive --event 3/12 > list.csv

Messages are sent to this computer if nothing else is said. Never send to a pool's network while a meet runs there.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from mcore.common.command_line import run_subcommand
from mcore.common.errors import UserError
from mcore.common.printable import printable_message
from mcore.common.signals import stop_on_signal
from mcore.common.typed_json import decode
from mcore_runtime.competition import read_start_list
from mcore_runtime.meet.address import parse_meet, parse_place
from mcore_runtime.meet.archive import read_archive
from mcore_runtime.meet.feed import MeetFeed
from mcore_runtime.meet.layout import PORT
from mcore_runtime.meet.message import EventEnd, EventLetter, Message, compose, parse
from mcore_runtime.meet.packets import read_packets
from mcore_runtime.meet.record import result_of
from mcore_runtime.meet.simulator import MeetPlan, Mishap, from_film, from_start_list, simulate
from mcore_runtime.sources import parse_source
from mcore_runtime.sources.rendered import settings_of

_HERE = f"127.0.0.1:{PORT}"
_MAX_SPEED = 1000.0
_TICK_S = 0.05
"""Messages are this late at most."""
_PAGE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Simulate:
    """Send a whole meet: announcements, awards as panels give them, points, ranks, and what goes wrong at a meet."""

    start_list: tyro.conf.Positional[Path | None] = None
    """CSV file: who dives what. With --film only its athletes count. None: made-up athletes, with --film."""
    film: str | None = None
    """Address of a drawn meet, as mcore-run gets it: its dives are announced and judged when it shows them. Begin right
    after mcore-run."""
    page: str | None = None
    """With --film: address of the run's page, such as http://127.0.0.1:8000. Its picture says what time it is, so that
    both agree on a slow computer too."""
    to: str = _HERE
    """HOST:PORT to send to; a broadcast address reaches all computers of a network."""
    event: EventLetter = "A"
    """Letter under which the event is sent."""
    judges: int = 7
    """Judges of one diver: 3, 5 or 7; a pair, two names with a slash between, always has 11."""
    seconds_per_dive: float = 30.0
    """From one announcement to the next; a film has its own times."""
    mishaps: tuple[Mishap, ...] = ()
    """In the middle of the meet: the sender restarts, a second event is sent, two divers change places, one is
    scratched, one dives again; penalty: every third dive has one."""
    seed: int = 0
    """Decides the awards."""
    speed: float = 1.0
    """How many times as fast as a meet."""

    def run(self) -> int:
        """Send it; returns 0."""
        entries = () if self.start_list is None else read_start_list(self.start_list).entries
        clock: Callable[[], float] = _Clock(self.speed).read
        if self.film is None:
            if self.page is not None:
                raise UserError("--page says what time it is in a film; give --film too")
            dives = from_start_list(entries)
        else:
            uri = parse_source(self.film)
            if uri.kind != "synthetic":
                raise UserError(
                    f"--film is {uri}; only a drawn meet says when its dives are, as synthetic://meet?seed=1"
                )
            settings = settings_of(uri)
            dives = from_film(settings, entries)
            if self.page is not None:
                clock = _PageClock(self.page, settings.rate).read
        plan = MeetPlan(dives, self.event, self.judges, self.seconds_per_dive, frozenset(self.mishaps), self.seed)
        return _send(((sent.time_s, compose(sent.message)) for sent in simulate(plan)), self.to, clock)


@dataclass(frozen=True)
class Replay:
    """Send recorded packets again, with the pauses that they had."""

    packets: tyro.conf.Positional[Path]
    """File of a session: meet_packets.jsonl."""
    to: str = _HERE
    """HOST:PORT to send to."""
    speed: float = 1.0
    """How many times as fast as it was."""

    def run(self) -> int:
        """Send them; returns 0."""
        packets = list(read_packets(self.packets))
        if not packets:
            raise UserError(f"{self.packets} holds no packet")
        begin_s = packets[0].time_s
        clock = _Clock(self.speed)
        return _send(((packet.time_s - begin_s, packet.data) for packet in packets), self.to, clock.read)


@dataclass(frozen=True)
class Listen:
    """Print what is on the network, until Ctrl-C: a check before the meet that messages arrive."""

    address: tyro.conf.Positional[str] = f"diverecorder://0.0.0.0:{PORT}?event=A"
    """Where, and which of two events."""
    keep: Path | None = None
    """Folder to keep the packets in, as a session does: meet_packets.jsonl."""

    def run(self) -> int:
        """Print it; returns 0, or 1 where nothing was heard."""
        console, stop = Console(highlight=False, soft_wrap=True), threading.Event()

        def show(message: Message, sender: str, at: str) -> None:
            console.print(printable_message(f"{at[11:19]} {sender} {_line(message)}"), markup=False)

        if self.keep is not None and not self.keep.is_dir():
            raise UserError(f"there is no folder {self.keep}; make it first")
        with MeetFeed(parse_meet(self.address), self.keep) as feed, stop_on_signal(say_so=False, on_stop=stop.set):
            console.print(f"listening at {feed.status.address}", markup=False)
            feed.listen(show)
            while not stop.wait(0.5):
                pass
            status = feed.status
        fault = "" if status.last_fault is None else f" (the last one: {status.last_fault})"
        console.print(
            printable_message(
                f"{status.packets} packets: {status.messages} of event {status.event}, {status.other_event} of the "
                f"other one, {status.unread} that could not be read{fault}"
            ),
            markup=False,
        )
        return 0 if status.messages else 1


@dataclass(frozen=True)
class FromArchive:
    """Print the start list of an event in DiveRecorder's archive, as mcore-run --start-list takes it."""

    folder: tyro.conf.Positional[Path]
    """DiveRecorder's folder Archive, with MeetsTable, EventsTable, DiversTable and DiveSheetTable, or a copy of it."""
    event: str | None = None
    """Numbers of meet and event, such as 3/12. None: the only one; where there are several, they are listed."""
    results: bool = False
    """With the points and awards of dives that were judged."""

    def run(self) -> int:
        """Print it; returns 0."""
        archive = read_archive(self.folder)
        text = archive.start_list(self.event, results=self.results)
        for warning in archive.warnings:
            print(f"warning: {printable_message(warning)}", file=sys.stderr)
        sys.stdout.write(text)
        return 0


_COMMANDS: dict[str, tuple[Any, Callable[[Any], int]]] = {
    "simulate": (Simulate, Simulate.run),
    "replay": (Replay, Replay.run),
    "listen": (Listen, Listen.run),
    "start-list": (FromArchive, FromArchive.run),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-meet`` and return its exit code."""
    return run_subcommand(_COMMANDS, prog="mcore-meet", doc=__doc__, argv=argv)


class _Clock:
    """Seconds since it was made, at a speed."""

    def __init__(self, speed: float) -> None:
        if not 0 < speed <= _MAX_SPEED:
            raise UserError(f"--speed is {speed:g}; allowed: more than 0, at most {_MAX_SPEED:g}")
        self._begin_s, self._speed = time.monotonic(), speed

    def read(self) -> float:
        """Return the time, seconds."""
        return (time.monotonic() - self._begin_s) * self._speed


class _PageClock:
    """Time in the film that a run watches, by the number of its frame."""

    def __init__(self, page: str, rate: float) -> None:
        if not page.startswith(("http://", "https://")):
            raise UserError(f"--page is {page[:80]!r}; give the address that mcore-run prints, http://127.0.0.1:8000")
        self._address, self._rate = page.rstrip("/") + "/api/snapshot", rate

    def read(self) -> float:
        """Return the time, seconds; the end of time where the run is over.

        Raises:
            UserError: there is no such page.
        """
        try:
            with urllib.request.urlopen(self._address, timeout=_PAGE_TIMEOUT_S) as answer:
                source = decode(dict[str, Any], answer.read(), self._address)["source"]
            return float("inf") if source["state"] in ("ended", "failed", "closed") else source["frames"] / self._rate
        except (OSError, KeyError, TypeError) as error:
            raise UserError(f"{self._address} does not say what time it is: {error}; does mcore-run run?") from None


def _send(packets: Iterable[tuple[float, bytes]], to: str, clock: Callable[[], float]) -> int:
    """Send packets at their times by a clock, in seconds after the beginning."""
    place, console = parse_place(to), Console(highlight=False, soft_wrap=True)
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(*place, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            count = 0
            for time_s, data in packets:
                while clock() < time_s:
                    time.sleep(_TICK_S)
                sender.sendto(data, target)
                count += 1
                console.print(printable_message(f"{time_s:7.1f} s  {_described(data)}"), markup=False)
    except OSError as error:
        raise UserError(f"cannot send to {to}: {error.strerror or error}") from error
    where = "this computer only" if ipaddress.ip_address(target[0]).is_loopback else str(target[0])
    console.print(f"{count} packets sent to {where}", markup=False)
    return 0


def _described(data: bytes) -> str:
    try:
        message = parse(data)
    except UserError as error:
        return f"not readable: {error}"
    return "says nothing of dives" if message is None else _line(message)


def _line(message: Message) -> str:
    """Say a message in one line."""
    if isinstance(message, EventEnd):
        return f"event {message.event}: over"
    what = [
        message.athlete or "nobody",
        message.dive_number,
        None if message.round is None else f"round {message.round}",
    ]
    result = result_of(message, "")
    given = (
        "" if not message.has_awards else "; awards " + " ".join("-" if a is None else f"{a:g}" for a in message.awards)
    )
    given = (
        given if result is None else f"; awards {result.awards_text}, {result.points:.2f} points, rank {message.rank}"
    )
    penalty = "" if message.penalty is None else f", penalty: {message.penalty.value}"
    doubts = "".join(f"; doubt: {doubt}" for doubt in message.doubts)
    return f"event {message.event}: {', '.join(filter(None, what))}{given}{penalty}{doubts}"


if __name__ == "__main__":
    sys.exit(main())
