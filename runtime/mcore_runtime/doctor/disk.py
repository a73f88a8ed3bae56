"""Probes of the disk that sessions are to be kept on."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import psutil

from mcore_runtime.doctor.findings import Finding, error, hint, ok
from mcore_runtime.health import HealthReader

_MIN_DISK_MB = 2000
_SLOW_COMMIT_MS = 50.0
_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "9p")


def disk(folder: Path) -> list[Finding]:
    """Room for sessions, what kind of disk it is, and how long a result takes to be safe."""
    health = HealthReader().read(folder)
    free_mb = health["disk_free_mb"]
    where = f"the disk of {folder.resolve()}"
    if free_mb is None:
        return [error(f"{where} cannot be asked", "run the doctor where sessions are to be kept")]
    found = []
    if free_mb < _MIN_DISK_MB:
        remedy = "a dive takes about 5 MB with its clip; make room, or give --session on another disk"
        found.append(error(f"{where} has {free_mb / 1e3:.1f} GB left", remedy))
    else:
        found.append(ok(f"{where} has {free_mb / 1e3:.0f} GB left"))
    kind = file_system(folder.resolve())
    if kind in _MEMORY_FILE_SYSTEMS:
        found.append(hint(f"it is memory ({kind}), which a power cut empties", "give --session on a real disk"))
    elif kind.startswith(_NETWORK_FILE_SYSTEMS):
        remedy = "sessions need a local disk: SQLite's write-ahead log does not work across a network"
        found.append(error(f"it is a file system of another machine ({kind})", remedy))
    try:
        milliseconds = _commit_ms(folder)
    except OSError as refused:
        reason = refused.strerror or str(refused)
        found.append(error(f"{where}: {reason}", "give --session in a folder of yours"))
        return found
    text = f"a result is safe on it after {milliseconds:.1f} ms"
    slow = milliseconds > _SLOW_COMMIT_MS
    remedy = "scores do not wait for it, but a better card or an SSD loses less in a power cut"
    found.append(hint(text, remedy) if slow else ok(text))
    return found


def file_system(folder: Path) -> str:
    """Kind of the file system that a folder is on, such as ``ext4``; empty where nobody tells."""
    kinds = {partition.mountpoint: partition.fstype for partition in psutil.disk_partitions(all=True)}
    return next((kinds[str(place)] for place in (folder, *folder.parents) if str(place) in kinds), "")


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
