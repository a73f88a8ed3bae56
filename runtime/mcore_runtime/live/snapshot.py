"""The parts of a session's snapshot that come from source, engine and machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mcore_runtime.live.dives import percentiles
from mcore_runtime.live.ledger import Ledger
from mcore_runtime.live.pipeline import LiveSettings
from mcore_runtime.live.scorer_thread import EngineThread
from mcore_runtime.sources import SourceStatus

MACHINE = ("memory_mb", "disk_free_mb", "cpu_percent", "temperature_c", "power_w", "power_source")
"""What ``mcore_runtime.health`` reads; None: the machine does not tell."""
_FRESH_S = 2.0


def session_part(engine: EngineThread, settings: LiveSettings, ledger: Ledger) -> dict[str, Any]:
    """Say what scores, and where it is kept."""
    scorer = engine.scorer
    folder = ledger.folder
    return {
        "name": "" if folder is None else folder.resolve().name,
        "started": ledger.started,
        "mode": settings.mode,
        "bundle": str(scorer.bundle.path),
        "bundle_sha256": scorer.bundle.sha256,
        "backend": scorer.backend.name,
        "provider": scorer.backend.provider,
        "precision": scorer.compute_dtype,
        "folder": "" if folder is None else str(folder),
        "problem": ledger.problem or (None if engine.problem is None else f"the engine failed: {engine.problem}"),
    }


def source_part(status: SourceStatus) -> dict[str, Any]:
    """Say how the stream is."""
    return {
        "name": status.name,
        "state": status.state.value,
        "error": status.error,
        "size": None if status.size is None else list(status.size),
        "is_live": status.is_live,
        "frames": status.frames,
        "dropped": status.dropped,
        "connections": status.connections,
        "failures": status.failures,
        "frames_per_second": status.frames_per_second,
        "silent_s": status.silent_s,
    }


class Health:
    """How the machine is; asked at most every two seconds, however many pages ask.

    Args:
        folder: whose disk counts; None: the current one.
        read: asks the machine; None: nobody does.
    """

    def __init__(self, folder: Path | None, read: Callable[[Path], Mapping[str, Any]] | None) -> None:
        self._folder, self._read = folder or Path(), read
        self._lock = threading.Lock()
        self._machine: Mapping[str, Any] = dict.fromkeys(MACHINE)
        self._read_s = float("-inf")

    def read(self, records: Sequence[Mapping[str, Any]], queue: int) -> dict[str, Any]:
        """Return the snapshot's ``health``.

        Args:
            records: of all dives.
            queue: clips that wait for the engine.
        """
        return {
            "time_to_score_ms": percentiles([record["time_to_score_ms"] for record in records]),
            "queue": queue,
            **self._fresh(),
        }

    def _fresh(self) -> Mapping[str, Any]:
        if self._read is not None and time.monotonic() - self._read_s > _FRESH_S and self._lock.acquire(blocking=False):
            try:
                self._machine = {name: self._machine[name] for name in MACHINE} | dict(self._read(self._folder))
                self._read_s = time.monotonic()
            finally:
                self._lock.release()
        return self._machine
