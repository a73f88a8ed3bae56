"""Probes of sources: the cameras that are connected, and whether frames come from an address."""

from __future__ import annotations

import os
import re
import time

from mcore.common.errors import UserError, first_line
from mcore_runtime.doctor.findings import Finding, absent, error, hint, ok
from mcore_runtime.doctor.machine import Machine
from mcore_runtime.sources import open_source

_ENOUGH_RATE = 60.0
"""Frames a second beyond which more pixels are worth more than more frames."""
_MIN_RATE = 20.0
"""Frames a second below which a somersault is too few frames; FineDiving's videos have 25."""
_FIRST_FRAME_TIMEOUT_S = 15.0
_MAX_FAILURES = 3
_WATCH_S = 2.0


def cameras(machine: Machine) -> list[Finding]:
    """V4L2 devices, whether this user may open them, and what they offer."""
    found = []
    for device in machine.paths("dev/video*"):
        name = machine.text(f"sys/class/video4linux/{device.name}/name") or "camera"
        named = f"camera://{device.name.removeprefix('video')}: {name}"
        if not os.access(device, os.R_OK | os.W_OK):
            remedy = "sudo usermod -aG video $USER, then log in again"
            found.append(error(f"{named}, which this user may not open", remedy))
            continue
        listed = machine.run("v4l2-ctl", f"--device=/dev/{device.name}", "--list-formats-ext")
        if listed is None:
            remedy = "for sizes and rates: sudo apt install v4l-utils" if not machine.has("v4l2-ctl") else ""
            found.append(ok(named, remedy))
        elif offers := camera_offers(listed):
            found.append(ok(f"{named}: {', '.join(offers)}"))
    return found or [absent("no V4L2 camera")]


def camera_offers(listed: str) -> list[str]:
    """Return the best of each pixel format that ``v4l2-ctl --list-formats-ext`` prints; none for a metadata node."""
    best: dict[str, tuple[float, int, str]] = {}
    pixels, size, pixel_format = 0, "", ""
    for line in listed.splitlines():
        if match := re.search(r"\[\d+\]: '(.{4})'", line):
            pixel_format = match[1].strip()
        elif match := re.search(r"Size: \w+ (\d+)x(\d+)", line):
            pixels, size = int(match[1]) * int(match[2]), f"{match[1]}x{match[2]}"
        elif match := re.search(r"\(([\d.]+) fps\)", line):
            rate = float(match[1])
            # Frames come first: a somersault takes a third of a second, and the network sees 112 pixels.
            offer = (min(rate, _ENOUGH_RATE), pixels, f"{pixel_format} {size} at {rate:g}")
            best[pixel_format] = max(best.get(pixel_format, offer), offer)
    return [text for _, _, text in best.values()]


def source(address: str) -> list[Finding]:
    """Read from a source for seconds, and report size and rate of its frames."""
    try:
        with open_source(address) as opened:
            name = opened.uri.public
            end_s = time.monotonic() + _FIRST_FRAME_TIMEOUT_S
            while (first := opened.read(0.1)) is None and not opened.is_over and time.monotonic() < end_s:
                if opened.status().failures >= _MAX_FAILURES:
                    break
            if first is None:
                reason = opened.status().error or f"no frame in {_FIRST_FRAME_TIMEOUT_S:.0f} s"
                return [error(f"{name}: {reason}", "see --help of mcore-run for addresses and options")]
            end_s = time.monotonic() + _WATCH_S
            while time.monotonic() < end_s and not opened.is_over:
                opened.read(0.1)
            status = opened.status()
    except UserError as refused:
        return [error(first_line(refused))]
    width, height = status.size or (0, 0)
    rate = status.frames_per_second
    text = f"{name}: {width}x{height}" + (
        "" if rate is None else f", {rate:.0f} frames a second by its own times, read by {status.reader}"
    )
    if status.decoder_note is not None:
        return [hint(f"{text}; {status.decoder_note}")]
    if status.is_live and rate is not None and rate < _MIN_RATE:
        remedy = "a somersault takes a third of a second: 25 frames a second or more, with a smaller picture if need be"
        return [hint(text, remedy)]
    return [ok(text)]
