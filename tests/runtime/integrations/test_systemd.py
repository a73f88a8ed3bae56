"""Notifications of systemd, on a socket that stands for systemd's."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcore_runtime.integrations.systemd import watched
from mcore_runtime.live import session as live_session
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.live.scorer_thread import ScorerThread
from mcore_runtime.live.session import LiveSession
from mcore_runtime.run import main
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.sources import open_source
from tests.numbered_video import write_numbered
from tests.runtime.live.test_scorer_thread import Job

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd's sockets are Unix's")
TIMEOUT_S = 5.0


class Systemd:
    """Hears what a service says."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(TIMEOUT_S)
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000", "WATCHDOG_PID": str(os.getpid())}

    def hear(self) -> str:
        return self._socket.recv(4096).decode()

    def all(self) -> list[str]:
        """What has been said so far."""
        heard = []
        self._socket.setblocking(False)
        try:
            while True:
                heard.append(self.hear())
        except BlockingIOError:
            self._socket.settimeout(TIMEOUT_S)
            return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest) -> Iterator[Systemd]:
    with tempfile.TemporaryDirectory(prefix="sd") as folder:  # a socket's path must be short
        heard = Systemd(f"{folder}/notify" if request.param == "file" else f"@mcore-test-{os.getpid()}")
        yield heard
        heard.close()


def test_a_service_says_that_it_is_ready_how_it_goes_and_that_it_lives(systemd: Systemd) -> None:
    with watched(lambda: True, lambda: "streaming, 3 dives", systemd.environment):
        assert systemd.hear() == "READY=1"
        for _ in range(3):  # again and again
            assert systemd.hear() == "WATCHDOG=1\nSTATUS=streaming, 3 dives"
    systemd.all()
    time.sleep(0.1)
    assert systemd.all() == []  # and no more


def test_one_that_hangs_gives_no_sign_of_life_until_it_works_again(systemd: Systemd) -> None:
    works = threading.Event()
    with watched(works.is_set, lambda: "x", systemd.environment):
        assert [systemd.hear() for _ in range(3)] == ["READY=1", "STATUS=x", "STATUS=x"]
        works.set()
        while "WATCHDOG=1" not in systemd.hear():  # which waits for some seconds only
            pass


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "/nowhere/notify"},
        {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "x"},
    ],
)
def test_where_nobody_listens_nothing_happens(environment: dict[str, str]) -> None:
    with watched(lambda: True, lambda: "x", environment):
        pass


def test_a_watchdog_of_another_process_is_not_ours(systemd: Systemd) -> None:
    with watched(lambda: True, lambda: "x", {**systemd.environment, "WATCHDOG_PID": "1"}):
        time.sleep(0.3)
    assert len(systemd.all()) == 2  # ready, and its state; no more before ten seconds


def test_a_session_whose_engine_or_stream_hangs_does_not_work(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_session, "_MAX_JOB_S", TIMEOUT_S)
    monkeypatch.setattr(live_session, "_MAX_ROUND_S", TIMEOUT_S)
    release, asleep = threading.Event(), threading.Event()

    def hang(scorer: Scorer) -> None:
        asleep.set()
        release.wait(TIMEOUT_S)

    with (
        ScorerThread(lambda: Scorer(tiny_bundle, backend="onnxruntime", threads=1)) as engine,
        open_source("synthetic://meet?seed=1&dives=1") as source,
        LiveSession(source, engine, LiveSettings(record=False)) as session,
    ):
        assert session.is_working()  # before it is begun
        running = threading.Thread(target=session.run)
        running.start()
        engine.submit(Job(hang))
        assert asleep.wait(TIMEOUT_S)
        assert session.is_working()
        monkeypatch.setattr(live_session, "_MAX_JOB_S", 0.0)
        assert not session.is_working()
        release.set()
        engine.drain()
        monkeypatch.setattr(live_session, "_MAX_JOB_S", TIMEOUT_S)
        assert session.is_working()
        monkeypatch.setattr(live_session, "_MAX_ROUND_S", -1.0)
        assert not session.is_working()
        session.stop()
        running.join()
        monkeypatch.setattr(live_session, "_MAX_ROUND_S", 0.001)
        assert session.is_working()  # what is over does not hang


def test_a_run_is_such_a_service(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_numbered(tmp_path / "v.mp4", 40)
    with tempfile.TemporaryDirectory(prefix="sd") as folder:
        heard = Systemd(f"{folder}/notify")
        for name, value in heard.environment.items():
            monkeypatch.setenv(name, value)
        options = ["--bundle", str(tiny_bundle), "--mode", "whole-file", "--session", str(tmp_path / "s"), "--headless"]
        assert main([str(video), *options]) == 0
        said = heard.all()
        heard.close()
    assert said[0] == "READY=1"
    assert said[1].startswith("WATCHDOG=1\nSTATUS=")
    assert " dives, " in said[1]
