"""From the network to the session's folder and back: what is heard, what is kept, and what is sent again."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_runtime.meet.address import MeetAddress, parse_meet, parse_place
from mcore_runtime.meet.command import main
from mcore_runtime.meet.feed import MeetFeed
from mcore_runtime.meet.message import EventEnd, Message, compose
from mcore_runtime.meet.packets import PACKETS_FILE, read_packets
from tests.runtime.meet.made import announced, judged, raw
from tests.runtime.waiting import wait_until

LOOPBACK = MeetAddress("127.0.0.1", 0)
PACKETS = [
    compose(replace(announced(), event="B")),
    b"\x00\xff nonsense \x80",
    compose(announced("Zoë Příklad")),
    compose(announced("Zoë Příklad")),
    raw(award_1="12"),
    b"UPDATE|a|DR1|^",
    compose(judged(announced("Zoë Příklad"))),
    compose(EventEnd("A", "DR1")),
]


@contextlib.contextmanager
def heard(folder: Path, address: MeetAddress = LOOPBACK) -> Iterator[tuple[MeetFeed, list[Message]]]:
    messages: list[Message] = []
    with MeetFeed(address, folder) as feed:
        feed.listen(lambda message, sender, at: messages.append(message))
        yield feed, messages


def wait_for(feed: MeetFeed, packets: int) -> None:
    wait_until(lambda: feed.status.packets >= packets, lambda: feed.status)


def send(feed: MeetFeed, packets: list[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number, packet in enumerate(packets, feed.status.packets + 1):
            sender.sendto(packet, ("127.0.0.1", feed.port))
            wait_for(feed, number)  # so that none is lost on the way


def test_what_is_heard_is_kept_as_it_came_and_can_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with heard(tmp_path) as (feed, messages):
        send(feed, PACKETS)
    said = [PACKETS[2], PACKETS[3], PACKETS[6], PACKETS[7]]
    assert [compose(message) for message in messages] == said
    status = feed.status
    assert (status.packets, status.messages, status.other_event, status.unread, status.problem) == (8, 4, 1, 2, None)
    assert "award of J1" in (status.last_fault or "")
    path = tmp_path / PACKETS_FILE
    assert [packet.data for packet in read_packets(path)] == PACKETS

    path.write_bytes(path.read_bytes() + b'{"time": "2026-')  # a power cut
    with heard(tmp_path) as (feed, messages):  # and the session goes on
        send(feed, PACKETS[2:3])
    assert [packet.data for packet in read_packets(path)] == [*PACKETS, PACKETS[2]]
    path.write_bytes(path.read_bytes() + b'{"time": "2026-')
    again = tmp_path / "again"
    again.mkdir()
    with heard(again) as (feed, messages):
        assert main(["replay", str(path), "--to", f"127.0.0.1:{feed.port}", "--speed", "1000"]) == 0
        wait_for(feed, len(PACKETS) + 1)
    assert [compose(message) for message in messages] == [*said, PACKETS[2]]
    assert "9 packets sent to this computer only" in capsys.readouterr().out


def test_a_flood_and_strangers_are_counted_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with heard(tmp_path, MeetAddress("127.0.0.1", 0, sender="192.0.2.7")) as (feed, messages):
        send(feed, [PACKETS[2]])
    assert (messages, feed.status.unread) == ([], 1)
    monkeypatch.setattr("mcore_runtime.meet.feed._MAX_PER_S", 0)
    with heard(tmp_path) as (feed, messages):
        send(feed, [PACKETS[2]] * 3)
    assert (messages, feed.status.unread) == ([], 3)
    assert "in a second" in (feed.status.last_fault or "")
    assert not (tmp_path / PACKETS_FILE).exists()  # neither fills the disk


def test_a_message_that_fits_no_start_list_does_not_end_the_listening(tmp_path: Path) -> None:
    heard_of: list[Message] = []

    def hear(message: Message, sender: str, at: str) -> None:
        heard_of.append(message)
        if len(heard_of) == 1:
            raise UserError("no such entry")

    with MeetFeed(LOOPBACK, tmp_path) as feed:
        feed.listen(hear)
        send(feed, [PACKETS[2], PACKETS[6]])
    assert len(heard_of) == 2
    assert (feed.status.unread, feed.status.last_fault) == (1, "127.0.0.1: no such entry")


def test_packets_that_cannot_be_kept_are_said(tmp_path: Path) -> None:
    (tmp_path / PACKETS_FILE).mkdir()
    with heard(tmp_path) as (feed, messages):
        send(feed, [PACKETS[2]])
    assert len(messages) == 1
    assert PACKETS_FILE in (feed.status.problem or "")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("diverecorder://0.0.0.0:58091?event=A", MeetAddress()),
        ("diverecorder://", MeetAddress()),
        ("diverecorder://127.0.0.1?event=b&sender=192.168.1.5", MeetAddress("127.0.0.1", 58091, "B", "192.168.1.5")),
        ("diverecorder://[::1]:5000/", MeetAddress("::1", 5000)),
    ],
)
def test_addresses_of_meets(text: str, address: MeetAddress) -> None:
    assert parse_meet(text) == address
    assert parse_meet(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "udp://0.0.0.0:58091",
        "diverecorder://host:99999",
        "diverecorder://a b",
        "diverecorder://0.0.0.0?event=C",
        "diverecorder://0.0.0.0?events=A",
        "diverecorder://0.0.0.0?sender=pool",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"give|allowed"):
        parse_meet(text)


def test_places_to_send_to() -> None:
    assert parse_place("192.168.1.255") == ("192.168.1.255", 58091)
    with pytest.raises(UserError, match="nowhere to send to"):
        parse_place("http://x")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["simulate"], "no dive to simulate"),
        (["simulate", "--film", "camera://0"], "only a drawn meet"),
        (["simulate", "--film", "synthetic://meet?dives=2", "--mishaps", "re-dive"], "shows no dive twice"),
        (["simulate", "--page", "http://127.0.0.1:1"], "--film"),
        (["replay", "nothing.jsonl"], "cannot be read"),
        (["listen", "somewhere"], "no address of meet software"),
        (["listen", "diverecorder://192.0.2.1:5"], "cannot listen"),
    ],
)
def test_mistakes_in_the_command(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
