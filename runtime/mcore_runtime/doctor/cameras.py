"""Probes of V4L2 cameras: what they are, whether they may be opened, and what they offer."""

from __future__ import annotations

import os
import re

from mcore_runtime.doctor.findings import Finding, absent, ok, trouble
from mcore_runtime.doctor.machine import Machine

_ENOUGH_RATE = 60.0
"""Frames a second beyond which more pixels are worth more than more frames."""


def cameras(machine: Machine) -> list[Finding]:
    """V4L2 devices, whether this user may open them, and what they offer."""
    found = []
    for device in machine.paths("dev/video*"):
        name = machine.text(f"sys/class/video4linux/{device.name}/name") or "camera"
        named = f"camera://{device.name.removeprefix('video')}: {name}"
        if not os.access(device, os.R_OK | os.W_OK):
            remedy = "sudo usermod -aG video $USER, then log in again"
            found.append(trouble("cameras", f"{named}, which this user may not open", remedy))
            continue
        listed = machine.run("v4l2-ctl", f"--device=/dev/{device.name}", "--list-formats-ext")
        if listed is None:
            remedy = "for sizes and rates: sudo apt install v4l-utils" if not machine.has("v4l2-ctl") else ""
            found.append(Finding("cameras", "ok", named, remedy))
        elif offers := camera_offers(listed):
            found.append(ok("cameras", f"{named}: {', '.join(offers)}"))
    return found or [absent("cameras", "no V4L2 camera")]


def camera_offers(listed: str) -> list[str]:
    """The best of each pixel format in what ``v4l2-ctl --list-formats-ext`` prints; none: no camera, but its twin for
    metadata.
    """
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
