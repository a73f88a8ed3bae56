"""Probes of the disk that sessions are to be kept on."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

from mcore_runtime.doctor.findings import Finding, hint, ok, trouble
from mcore_runtime.doctor.machine import Machine
from mcore_runtime.health import HealthReader

_LEAST_DISK_MB = 2000
_SLOW_COMMIT_MS = 50.0
_IN_MEMORY = ("tmpfs", "ramfs")
_FROM_AFAR = ("nfs", "cifs", "smb", "fuse.sshfs", "9p")


def disk(machine: Machine, folder: Path) -> list[Finding]:
    """Room for sessions, what kind of disk it is, and how long a result takes to be safe."""
    health = HealthReader().read(folder)
    free_mb = health["disk_free_mb"]
    where = f"the disk of {folder.resolve()}"
    if free_mb is None:
        return [trouble("disk", f"{where} cannot be asked", "run the doctor where sessions are to be kept")]
    found = []
    if free_mb < _LEAST_DISK_MB:
        remedy = "a dive takes about 5 MB with its clip; make room, or give --session on another disk"
        found.append(trouble("disk", f"{where} has {free_mb / 1e3:.1f} GB left", remedy))
    else:
        found.append(ok("disk", f"{where} has {free_mb / 1e3:.0f} GB left"))
    kind = file_system(machine, folder.resolve())
    if kind in _IN_MEMORY:
        found.append(hint("disk", f"it is memory ({kind}), which a power cut empties", "give --session on a real disk"))
    elif kind.startswith(_FROM_AFAR):
        remedy = "sessions need a local disk: SQLite's write-ahead log does not work across a network"
        found.append(trouble("disk", f"it is a file system of another machine ({kind})", remedy))
    try:
        milliseconds = _commit_ms(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        found.append(trouble("disk", f"{where}: {reason}", "give --session in a folder of yours"))
        return found
    text = f"a result is safe on it after {milliseconds:.1f} ms"
    slow = milliseconds > _SLOW_COMMIT_MS
    remedy = "scores do not wait for it, but a better card or an SSD loses less in a power cut"
    found.append(hint("disk", text, remedy) if slow else ok("disk", text))
    return found


def file_system(machine: Machine, folder: Path) -> str:
    """Kind of the file system that a folder is on, such as ``ext4``; empty where nobody tells."""
    kinds = {}
    for line in machine.text("proc/mounts").splitlines():
        fields = line.split()
        if len(fields) > 2:
            kinds[re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[1])] = fields[2]
    for place in (folder, *folder.parents):
        if str(place) in kinds:
            return kinds[str(place)]
    return ""


def _commit_ms(folder: Path) -> float:
    """Median time to write 4 kB and have it on the disk."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".mcore-doctor-") as file:
        for _ in range(9):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2] * 1e3
