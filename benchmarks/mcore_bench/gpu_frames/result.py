"""What the frame benchmark finds: figures, what was equal, what this machine lacks, and what failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from mcore.common.errors import first_line

COMMAND = "python -m mcore_bench.gpu_frames"


class DifferentError(Exception):
    """A way computes something else than the processor does."""


class UnavailableError(Exception):
    """This machine has no such decoder."""


@dataclass(frozen=True)
class Figure:
    """One way of preprocessing, measured."""

    name: str
    microseconds: float
    """A frame, median over the rounds."""
    times_faster: float
    """Median over the rounds of the processor's time, for the same kind of frame, over this way's."""
    low: float
    """10th percentile of that."""
    high: float
    """90th percentile of that."""
    floor_microseconds: float | None
    """Bytes that must be moved over the bandwidth measured; None: not bound by it."""
    share: float | None
    """Of the speed that the bandwidth allows, 0 to 1; above that where caches hold frames."""


@dataclass(frozen=True)
class Speed:
    """One decoder, measured."""

    name: str
    frames_per_second: float
    """Opening the file included, median over the rounds."""
    after_first: float
    """Frames a second after the first."""
    first_ms: float
    """From opening the file to the first frame."""
    times_faster: float
    """Median over the rounds of the first decoder's time over this one's."""


@dataclass
class Report:
    """What was found so far."""

    machine: dict[str, str]
    arguments: dict[str, Any]
    device_gb_s: float | None = None
    """Bytes read and written by a copy on the device."""
    host_gb_s: float | None = None
    """Of a copy from pinned memory to the device."""
    preprocessing: list[Figure] = field(default_factory=list)
    video_mbit_s: float | None = None
    """Of the H.264 video, at 60 frames a second."""
    decoding: list[Speed] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    """What was found equal."""
    unavailable: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """For the .json file."""
        return {"command": COMMAND, "date": date.today().isoformat(), **asdict(self)}


@contextmanager
def attempt(report: Report, name: str) -> Iterator[None]:
    """Write a step's failure down in one line instead of ending the run."""
    try:
        yield
    except UnavailableError as error:
        report.unavailable.append(f"{name}: {first_line(error)}")
    except Exception as error:  # whatever goes wrong in a step, the others run
        report.failures.append(f"{name}: {type(error).__name__}: {first_line(error)}")
