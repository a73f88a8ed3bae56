"""Every dive reaches every receiver at least once, whatever receiver, network and this program do meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcore_runtime.integrations.webhooks import SECRET_VARIABLE, Webhooks, parse_target
from mcore_runtime.integrations.webhooks.__main__ import main
from mcore_runtime.integrations.webhooks.backoff import Backoff
from mcore_runtime.integrations.webhooks.sender import Delivery
from mcore_runtime.integrations.webhooks.signing import read_secret
from mcore_runtime.live.broadcast import Broadcast, DiveNews
from mcore_runtime.session import SessionStore
from tests.runtime.integrations.webhooks.receiver import Receiver, receiving
from tests.runtime.session.made import FACTS, record

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAUSE_S = 0.01


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with SessionStore.create(tmp_path / "final", FACTS) as store:
        yield store


class Session:
    """What of a live session webhooks hear."""

    def __init__(self, store: SessionStore) -> None:
        self.store, self.news = store, Broadcast()

    def save(self, number: int, **changes: Any) -> None:
        dive = record(number, **changes)
        self.store.save_dive(dive)
        self.news.send(DiveNews(dive))

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.news.close()


def delivery(store: SessionStore, receiver: Receiver, said: list[str], timeout_s: float = 2.0) -> Delivery:
    return Delivery(store, parse_target(receiver.url), None, said.append, timeout_s=timeout_s, first_pause_s=PAUSE_S)


def until_all_is_sent(sent: Delivery, timeout_s: float = 10.0) -> None:
    end_s = time.monotonic() + timeout_s
    while sent.left:
        assert time.monotonic() < end_s
        time.sleep(min(sent.send_due(), 0.05))


def test_dives_arrive_as_they_happen_signed_and_whole(store: SessionStore) -> None:
    secret = read_secret({SECRET_VARIABLE: SECRET})
    with (
        receiving() as receiver,
        Webhooks(store, [parse_target(receiver.url)], secret, print) as webhooks,
        Session(store) as session,
    ):
        webhooks.listen(session.news.subscribe)
        session.save(1, dive_number="107B", athlete="Ada Łovelace")
        receiver.wait_for(1)
        session.save(1, status="void")
        receiver.wait_for(2)
        session.save(2)
    requests = receiver.requests
    told = [(r.data["dive"]["number"], r.data["revision"], r.data["dive"]["status"]) for r in requests]
    assert told == [(1, 1, "failed"), (1, 2, "void"), (2, 1, "failed")]
    assert requests[0].data["dive"]["athlete"] == "Ada Łovelace"
    assert requests[0].data["session"] == {
        "id": requests[0].headers["webhook-id"].split("-")[0], "name": "final", "started": store.started,
    }  # fmt: skip
    assert len({r.headers["webhook-id"] for r in requests}) == 3
    assert all(request.headers["webhook-signature"].startswith("v1,") for request in requests)


def test_signatures_convince_a_second_implementation(store: SessionStore) -> None:
    standard = pytest.importorskip("standardwebhooks.webhooks", reason="the package standardwebhooks is not installed")
    store.save_dive(record(1, athlete="Ada Łovelace"))
    with receiving() as receiver:
        Delivery(store, parse_target(receiver.url), read_secret({SECRET_VARIABLE: SECRET}), print).send_due()
        (request,) = receiver.wait_for(1)
    judge = standard.Webhook(SECRET)
    assert judge.verify(request.body, request.headers)["data"] == request.data
    with pytest.raises(standard.WebhookVerificationError):
        judge.verify(request.body + b" ", request.headers)


def test_what_fails_is_sent_again_as_the_same_message(store: SessionStore) -> None:
    said: list[str] = []
    with receiving(lambda count: ((500, 502, 429, 200)[min(count, 3)], {})) as receiver:
        store.save_dive(record(1))
        until_all_is_sent(delivery(store, receiver, said))
    assert [r.status for r in receiver.requests] == [500, 502, 429, 200]
    assert len({(r.headers["webhook-id"], r.body) for r in receiver.requests}) == 1
    assert [line.split(": ", 1)[1].split(":")[0] for line in said] == ["does not take results", "takes results again"]


def test_pauses_grow_to_a_minute_and_keep_to_what_was_asked() -> None:
    pause = Backoff()
    for failures in range(10):
        pause.fail()
        longest_s = min(2.0**failures, 60.0)
        assert 0.4 * longest_s < pause.wait_s <= longest_s
    pause.fail(asked_s=300.0)
    assert 299 < pause.wait_s <= 300
    pause.succeed()
    assert pause.wait_s == 0
    pause.fail()
    assert pause.wait_s <= 1


def test_one_refused_message_does_not_hold_up_the_others(store: SessionStore) -> None:
    said: list[str] = []
    with receiving() as receiver:
        receiver.behave = lambda count: (400 if count == 0 else 200, {})
        for number in (1, 2, 3):
            store.save_dive(record(number))
        until_all_is_sent(delivery(store, receiver, said))
    assert [(r.data["dive"]["number"], r.status) for r in receiver.requests] == [(1, 400), (2, 200), (3, 200), (1, 200)]
    assert "refuses dive 1: HTTP 400" in said[0]


def test_a_receiver_that_wants_no_more_gets_no_more_in_this_run(store: SessionStore) -> None:
    said: list[str] = []
    with receiving(lambda count: (410, {})) as receiver:
        store.save_dive(record(1))
        store.save_dive(record(2))
        sent = delivery(store, receiver, said)
        sent.send_due()
        sent.finish(time.monotonic() + 5)
        assert (len(receiver.requests), sent.left, len(said)) == (1, 2, 1)
        receiver.behave = lambda count: (200, {})
        until_all_is_sent(delivery(store, receiver, said))


def test_only_the_newest_result_is_sent_and_a_correction_during_delivery_too(store: SessionStore) -> None:
    store.save_dive(record(1))
    store.save_dive(record(1, reasons=("y",)))

    def behave(count: int) -> tuple[int, dict[str, str]]:
        if count == 0:
            store.save_dive(record(1, status="void"))
        return 200, {}

    with receiving(behave) as one, receiving() as other:  # each has its own place
        until_all_is_sent(delivery(store, one, []))
        until_all_is_sent(delivery(store, other, []))
    assert [(r.data["revision"], r.data["dive"]["status"]) for r in one.requests] == [(2, "failed"), (3, "void")]
    assert [r.headers["webhook-id"] for r in other.requests] == [one.requests[1].headers["webhook-id"]]


def test_a_new_run_sends_what_the_last_could_not_and_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "final"
    with receiving() as receiver:
        receiver.behave = lambda count: (200 if count == 0 else 503, {})
        with SessionStore.create(folder, FACTS) as store:
            for number in (1, 2, 3):
                store.save_dive(record(number))
            delivery(store, receiver, []).send_due()
        with SessionStore.open(folder) as store:
            assert delivery(store, receiver, []).left == 2
            receiver.behave = lambda count: (200, {})
            until_all_is_sent(delivery(store, receiver, []))
    arrived = Counter(r.data["dive"]["number"] for r in receiver.requests if r.status == 200)
    assert arrived == {1: 1, 2: 1, 3: 1}


def test_a_receiver_that_hangs_holds_up_neither_dives_nor_other_receivers_nor_the_end(store: SessionStore) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent, receiving() as receiver:  # it never accepts
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        targets = [parse_target(hanging), parse_target(receiver.url)]
        with Webhooks(store, targets, None, said.append, end_timeout_s=0.2) as webhooks, Session(store) as session:
            webhooks.listen(session.news.subscribe)
            began_s = time.monotonic()
            for number in range(1, 21):
                session.save(number)
            assert len(receiver.wait_for(20)) == 20
        assert time.monotonic() - began_s < 10.0  # not even the time of one message to the other receiver
    assert "does not have 20 results; to send them: python -m mcore_runtime.integrations.webhooks" in said[-1]
    assert {r.data["dive"]["number"] for r in receiver.requests} == set(range(1, 21))


def test_a_receiver_that_comes_back_during_the_session_gets_everything(store: SessionStore, port: int) -> None:
    target = parse_target(f"http://127.0.0.1:{port}/dives?key=letmein")
    with Webhooks(store, [target], None, print, end_timeout_s=5.0) as webhooks, Session(store) as session:
        webhooks.listen(session.news.subscribe)
        session.save(1)
        time.sleep(0.1)
        with receiving(port=port) as receiver:
            session.save(2)
            receiver.wait_for(2)
    assert {r.data["dive"]["number"] for r in receiver.requests} == {1, 2}


def test_nothing_private_is_said_or_kept(tmp_path: Path, port: int) -> None:
    said: list[str] = []
    target = parse_target(f"http://user:hunter2@127.0.0.1:{port}/secret-path?key=letmein")
    with SessionStore.create(tmp_path / "final", FACTS) as store:
        store.save_dive(record(1))
        Delivery(store, target, None, said.append).send_due()
        assert "Connection refused" in said[0]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "final").iterdir() if path.is_file())
    assert b"webhook http://127.0.0.1" in kept  # the event, by the public form
    for secret in ("hunter2", "secret-path", "letmein"):
        assert secret not in "".join(said)
        assert secret.encode() not in kept


def test_without_receivers_nothing_happens(store: SessionStore) -> None:
    before = threading.active_count()
    with Webhooks(store, [], None, print) as webhooks, Session(store) as session:
        webhooks.listen(session.news.subscribe)
        assert threading.active_count() == before
    assert store.load_state("webhook id") is None


def test_the_command_sends_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SessionStore.create(tmp_path / "final", FACTS) as store:
        store.save_dive(record(1))
        store.save_dive(record(2))
    with receiving(lambda count: (500, {})) as receiver:
        command = [str(tmp_path / "final"), receiver.url]
        assert main([*command, "--timeout-s", "0.2"]) == 1
        assert "0 results sent, 2 left" in capsys.readouterr().out
        receiver.behave = lambda count: (200, {})
        assert main(command) == 0
        assert "2 results sent, 0 left" in capsys.readouterr().out
        assert main(command) == 0
        assert "0 results sent, 0 left" in capsys.readouterr().out
    assert main([str(tmp_path / "final"), "ftp://x"]) == 2
    assert main([str(tmp_path / "nothing"), receiver.url]) == 2
    assert "letmein" not in "".join(capsys.readouterr())
