"""Probes that load other people's native code or may hang, each in a process of its own.

A driver that does not fit its library can end a process with a signal, or hang in a call that no thread can leave:
neither must end the doctor, who is asked exactly then.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.common.typed_json import decode, encode
from mcore_runtime.doctor.findings import Finding, error

_TIMEOUT_S = 60.0


def in_child(name: str, *, timeout_s: float = _TIMEOUT_S, **arguments: Any) -> list[Finding]:
    """Run a probe in a new process; that it crashes or hangs is a finding.

    Args:
        name: one of ``probes()``.
        timeout_s: longest time, seconds.
        arguments: for the probe, as JSON. They are not on the command line, where others could read passwords.
    """
    what = arguments.get("backend") or name
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mcore_runtime.doctor.child_process"],
            input=encode({"name": name, "arguments": arguments}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries quote addresses there
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        return [error(f"{what} did not answer within {timeout_s:.0f} s")]
    if done.returncode < 0:
        sent = signal.strsignal(-done.returncode)
        remedy = "a library here does not fit this processor or driver: install it again, or leave it out"
        return [error(f"{what} ended its process: {sent} (signal {-done.returncode})", remedy)]
    try:
        return decode(list[Finding], done.stdout, what)
    except UserError:
        return [error(f"{what} ended its process with exit code {done.returncode} and no answer")]


def probes() -> Mapping[str, Callable[..., list[Finding]]]:
    """Return the probes that run in a process of their own, by name."""
    from mcore_runtime.doctor import bundles, disk, engines, hardware, software, sources

    return {
        "cuda": hardware.cuda,
        "video": software.video,
        "gstreamer": software.gstreamer,
        "disk": lambda folder: disk.disk(Path(folder)),
        "library": engines.library,
        "trial": lambda path, backend: bundles.trial(Path(path), backend),
        "automatic_choice": lambda path: bundles.automatic_choice(Path(path)),
        "source": sources.source,
    }


def main() -> None:
    """Answer one request from standard input on standard output, which libraries cannot write to meanwhile."""
    answer = os.dup(1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    findings = probes()[request["name"]](**request["arguments"])
    os.write(answer, encode(findings).encode())
    os.close(answer)


if __name__ == "__main__":
    main()
