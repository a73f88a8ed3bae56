"""Dives to a real MQTT broker."""

from __future__ import annotations

import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mcore_runtime.integrations.webhooks import parse_target
from mcore_runtime.integrations.webhooks.post import Result
from mcore_runtime.integrations.webhooks.publish import publish
from mcore_runtime.integrations.webhooks.sender import Delivery
from mcore_runtime.session import SessionStore
from tests.runtime.session.made import FACTS, record
from tests.runtime.waiting import wait_until

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

mqtt = pytest.importorskip("paho.mqtt.client", reason="needs the package paho-mqtt")
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="needs the program mosquitto, an MQTT broker")
PATIENCE_S = 20.0


@contextmanager
def broker(folder: Path, port: int, *lines: str) -> Iterator[None]:
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(["persistence false", f"listener {port} 127.0.0.1", *lines]) + "\n")
    config.chmod(0o644)
    process = subprocess.Popen([str(MOSQUITTO), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_open(port))
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def is_open(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def subscribed(port: int, topic: str) -> Iterator[queue.Queue[MQTTMessage]]:
    """What comes for a topic."""
    heard: queue.Queue[MQTTMessage] = queue.Queue()
    ready: queue.Queue[None] = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = lambda client, data, message: heard.put(message)
    client.on_subscribe = lambda *_: ready.put(None)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe(topic, qos=1)
    ready.get(timeout=PATIENCE_S)
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


@needs_broker
def test_a_message_arrives_as_it_was_sent(tmp_path: Path, port: int) -> None:
    target = parse_target(f"mqtt://127.0.0.1:{port}/pool%201/dives")
    with broker(tmp_path, port, "allow_anonymous true"), subscribed(port, "pool 1/#") as heard:
        body = '{"athlete": "Zoë"}'.encode() + b" " * 200_000
        assert publish(target, body, {"webhook-id": "a-1-1"}, PATIENCE_S).result is Result.DELIVERED
        message = heard.get(timeout=PATIENCE_S)
    assert (message.topic, message.payload, message.qos, message.retain) == ("pool 1/dives", body, 1, False)
    assert message.properties is not None
    assert vars(message.properties)["UserProperty"] == [("webhook-id", "a-1-1")]


@needs_broker
def test_dives_wait_for_a_broker_that_is_away(tmp_path: Path, port: int) -> None:
    said: list[str] = []
    with SessionStore.create(tmp_path / "final", FACTS) as store:
        for number in (1, 2):
            store.save_dive(record(number))
        target = parse_target(f"mqtt://127.0.0.1:{port}/dives")
        sent = Delivery(store, target, None, said.append, timeout_s=PATIENCE_S, first_pause_s=0.01)
        sent.send_due()
        assert sent.left == 2
        with broker(tmp_path, port, "allow_anonymous true"), subscribed(port, "dives") as heard:
            wait_until(lambda: sent.send_due() >= 0 and not sent.left)
            assert {b'"number":1' in heard.get(timeout=PATIENCE_S).payload.replace(b" ", b"") for _ in range(2)} == {
                True, False
            }  # fmt: skip
    assert said == [
        f"webhook mqtt://127.0.0.1:{port}: does not take results: Connection refused; tried again for as long as the "
        "session lasts",
        f"webhook mqtt://127.0.0.1:{port}: takes results again",
    ]


@needs_broker
def test_who_may_not_publish_is_told(tmp_path: Path, port: int) -> None:
    with broker(tmp_path, port, "allow_anonymous false"):
        answer = publish(parse_target(f"mqtt://u:hunter2@127.0.0.1:{port}/x"), b"{}", {}, PATIENCE_S)
    assert answer.result is Result.UNREACHABLE
    assert answer.reason == "MQTT: Not authorized"


@needs_broker
@pytest.mark.parametrize("is_trusted", [False, True])
def test_tls_needs_a_certificate_that_the_system_trusts(
    tmp_path: Path, port: int, certificate: Path, is_trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for name in (certificate.name, "key.pem"):  # the broker gives up root's rights before it reads them
        shutil.copy(certificate.with_name(name), tmp_path / name)
        (tmp_path / name).chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    lines = ["allow_anonymous true", f"certfile {tmp_path / certificate.name}", f"keyfile {tmp_path / 'key.pem'}"]
    with broker(tmp_path, port, *lines):
        answer = publish(parse_target(f"mqtts://127.0.0.1:{port}/x"), b"{}", {}, PATIENCE_S)
    assert answer.result is (Result.DELIVERED if is_trusted else Result.UNREACHABLE)
    assert is_trusted or answer.reason.startswith("its certificate is not trusted")


def test_what_is_no_broker_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = parse_target(f"mqtt://127.0.0.1:{silent.getsockname()[1]}/x")
        assert publish(target, b"{}", {}, 0.3).reason == "no answer for 0.3 s"
    assert publish(target, b"{}", {}, PATIENCE_S).reason == "Connection refused"


def test_a_connection_that_is_lost_is_no_answer_to_the_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK of MQTT 5: success
                connection.recv(1000)
                connection.sendall(b"\xe0\x01\x00")  # DISCONNECT, without having taken the message

        thread = threading.Thread(target=talk)
        thread.start()
        target = parse_target(f"mqtt://127.0.0.1:{server.getsockname()[1]}/x")
        answer = publish(target, b"{}", {}, PATIENCE_S)
        thread.join()
    assert answer.result is Result.UNREACHABLE
    assert answer.reason == "it closed the connection"
