"""What a user starts: commands of the project, to their end or for as long as their page is needed, and a browser."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mcore.common.errors import UserError
from mcore.common.optional import require

MODULES = {
    "mcore-run": "mcore_runtime.run",
    "mcore-meet": "mcore_runtime.meet.command",
    "mcore-label": "mcore_runtime.labelling.command",
    "mcore-adapt": "mcore_export.adapt.command",
    "mcore-rescore": "mcore_runtime.session.rescore_command",
    "mcore-report": "mcore_runtime.session.report_command",
}
NOT_ALL_SCORED = 3
"""Exit code of mcore-run where a dive has no score, such as one that is unlike the bundle's."""
_START_S, _END_S = 120.0, 120.0
"""Longest waits: until a page is there, and from Ctrl-C to the end."""


class StepFailedError(UserError):
    """A step did not do what it should."""


def do(name: str, *arguments: object, allowed: tuple[int, ...] = (0,), quiet: bool = False) -> float:
    """Run a command to its end; returns its seconds.

    Raises:
        StepFailedError: its exit code is not allowed.
    """
    began = time.perf_counter()
    output = subprocess.DEVNULL if quiet else None
    code = subprocess.run(_command(name, *arguments), check=False, env=_environment(), stdout=output).returncode
    if code not in allowed:
        raise StepFailedError(f"{name} {arguments[0]} failed with exit code {code}")
    return time.perf_counter() - began


@contextmanager
def serving(name: str, *arguments: object, allowed: tuple[int, ...] = (0,)) -> Iterator[str]:
    """Run a command with a page until the end of the block, which is its Ctrl-C; yields the page's address.

    Raises:
        StepFailedError: there is no page, or its exit code is not allowed.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = _command(name, *arguments, "--web", f"127.0.0.1:{port}")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=_environment()) as run:
        try:
            _wait_for_page(run, name, port)
            yield f"http://127.0.0.1:{port}/"
        except BaseException:
            run.terminate()
            raise
        run.send_signal(signal.SIGINT)
        try:
            code = run.wait(_END_S)
        except subprocess.TimeoutExpired:
            run.kill()
            raise StepFailedError(f"{name} did not end within {_END_S:.0f} s of Ctrl-C") from None
    if code not in allowed:
        raise StepFailedError(f"{name} {arguments[0]} failed with exit code {code}")


@contextmanager
def running_browser(command: str) -> Iterator[Any]:
    """Run Chromium without a window; yields playwright's browser.

    Raises:
        UserError: there is no such browser, or no playwright.
    """
    chromium = shutil.which(command)
    if chromium is None:
        raise UserError(f"there is no browser {command!r}; install Chromium or name it with --chromium")
    playwright = require("playwright.sync_api", "test", "Driving the page")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def _wait_for_page(run: subprocess.Popen[bytes], name: str, port: int) -> None:
    end_s = time.monotonic() + _START_S
    while run.poll() is None and time.monotonic() < end_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise StepFailedError(f"{name} serves no page; what it says above is why")


def _command(name: str, *arguments: object) -> list[str]:
    """Print a command as a user types it, and return it as this environment runs it."""
    words = [str(argument) for argument in arguments]
    print(f"$ {shlex.join([name, *words])}", flush=True)
    return [sys.executable, "-m", MODULES[name], *words]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
