"""The service's script goes on where a kill left it; its unit is one that systemd understands."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcore_runtime.run import _NOT_WELL
from mcore_runtime.session.data import read_session
from mcore_runtime.session.database import is_begun

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "deploy" / "mcore-service"
TIMEOUT_S = 60.0
MEET = "synthetic://meet?seed=1&dives=1&pause=0&size=96x64&rate=10&distractors=none&pace=fast"


def environment(**given: str) -> dict[str, str]:
    """With this project's commands on the path, as a service has them."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **given}


def test_a_killed_service_goes_on_with_its_session(tiny_bundle: Path, tmp_path: Path) -> None:
    session = tmp_path / "session"
    settings = environment(
        MCORE_SOURCE=MEET,
        MCORE_BUNDLE=str(tiny_bundle),
        MCORE_SESSION=str(session),
        MCORE_OPTIONS="--headless --quiet --no-clips",
    )
    process = subprocess.Popen([SERVICE], env=settings, stderr=subprocess.PIPE, text=True)
    end_s = time.monotonic() + TIMEOUT_S
    while not is_begun(session):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end_s
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    started = read_session(session).started
    done = subprocess.run([SERVICE], env=settings, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode in (0, 3), done.stderr  # 3: the tiny bundle may not score it
    assert read_session(session).started == started


def test_a_service_killed_before_its_session_was_begun_begins_it(tiny_bundle: Path, tmp_path: Path) -> None:
    session = tmp_path / "session"
    session.mkdir()
    sqlite3.connect(session / "session.sqlite").close()
    (session / "session.sqlite").touch()
    assert not is_begun(session)
    settings = environment(
        MCORE_SOURCE=MEET,
        MCORE_BUNDLE=str(tiny_bundle),
        MCORE_SESSION=str(session),
        MCORE_OPTIONS="--headless --quiet --no-clips",
    )
    done = subprocess.run([SERVICE], env=settings, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode in (0, 3), done.stderr
    assert is_begun(session)


def test_a_crash_is_started_again_and_an_end_is_not() -> None:
    unit = dict(
        line.split("=", 1) for line in (ROOT / "deploy" / "mcore-edge.service").read_text().splitlines() if "=" in line
    )
    assert unit["Restart"] == "on-failure"
    assert unit["SuccessExitStatus"] == str(_NOT_WELL) != "1", "Python ends with 1 where nobody foresaw an error"


def test_secrets_do_not_go_into_images() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"**/token", "**/session.env", "bundle"} <= set(ignored)


def test_missing_settings_are_named() -> None:
    done = subprocess.run([SERVICE], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "MCORE_SOURCE: the address of the camera" in done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = (ROOT / "deploy" / "mcore-edge.service").read_text()
    here = re.sub(r"^ExecStart=.*$", f"ExecStart={SERVICE}", unit, flags=re.M)  # which must exist to be verified
    here = re.sub(r"^(User|Documentation)=.*\n", "", here, flags=re.M)
    path = tmp_path / "mcore-edge.service"
    path.write_text(here)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if "mcore-edge" in line]
    assert told == []
