"""Probes of what somebody wants to do here: run a bundle, and watch a source."""

from __future__ import annotations

import time
from pathlib import Path

from mcore.errors import UserError, first_line
from mcore_runtime.backends.select import open_variant
from mcore_runtime.backends.trial import Trial, try_backends
from mcore_runtime.bundle import Bundle
from mcore_runtime.doctor.findings import Finding, absent, hint, ok, split_advice, trouble
from mcore_runtime.sources import open_source

_FIRST_FRAME_S = 15.0
_WATCH_S = 2.0
_LEAST_RATE = 20.0
"""Frames a second below which a somersault is too few frames; FineDiving's videos have 25."""


def bundle(path: Path) -> list[Finding]:
    """Whether a bundle is whole, what it knows, and which engines run it here."""
    try:
        opened = Bundle.open(path)
    except UserError as error:
        return [trouble("bundle", first_line(error))]
    manifest = opened.manifest
    found = [ok("bundle", f"{path}: whole, {', '.join(manifest.variants)}, from {manifest.checkpoint.name}")]
    bank = next((variant.exemplars for variant in manifest.variants.values() if variant.exemplars), None)
    if bank is None:
        remedy = f"mcore-export {path} --exemplars DIVES.jsonl --out NEW_BUNDLE"
        found.append(trouble("bundle", "it has no exemplars: it cannot score", remedy))
    else:
        numbers = ", ".join(f"{name} {count}" for name, count in list(bank.per_dive_number.items())[:12])
        more = "" if len(bank.per_dive_number) <= 12 else ", ..."
        found.append(ok("bundle", f"{bank.count} exemplars of {len(bank.per_dive_number)} dives: {numbers}{more}"))
    return [*found, *map(_engine, try_backends(opened)), *_chosen(opened)]


def _engine(trial: Trial) -> Finding:
    name = f"{trial.backend}, {', '.join(trial.precisions)}"
    if trial.runs:
        return ok("engines", f"{name}: {trial.text}")
    wrong, remedy = split_advice(trial.text)
    return absent("engines", f"{name}: {wrong}", remedy)


def _chosen(opened: Bundle) -> list[Finding]:
    """What ``--backend auto`` takes, and what it says about that."""
    try:
        backend, precision = open_variant(opened.variants)
    except UserError as error:
        return [trouble("engines", f"none runs it: {first_line(error)}", "pip install '.[runtime]'")]
    backend.close()
    text = f"--backend auto takes {backend.name}, {precision}, on {backend.provider}"
    return [ok("engines", text), *(hint("engines", note) for note in backend.notes)]


def source(address: str) -> list[Finding]:
    """Whether frames come, how large, and how many a second."""
    try:
        with open_source(address) as opened:
            name = opened.uri.public
            if opened.read(_FIRST_FRAME_S) is None:
                reason = opened.status().error or f"no frame in {_FIRST_FRAME_S:.0f} s"
                return [trouble("source", f"{name}: {reason}", "see --help of mcore-run for addresses and options")]
            end_s = time.monotonic() + _WATCH_S
            while time.monotonic() < end_s and not opened.is_over:
                opened.read(0.1)
            status = opened.status()
    except UserError as error:
        return [trouble("source", first_line(error))]
    width, height = status.size or (0, 0)
    rate = status.frames_per_second
    text = f"{name}: {width}x{height}" + (
        "" if rate is None else f", {rate:.0f} frames a second, read by {status.reader}"
    )
    if status.is_live and rate is not None and rate < _LEAST_RATE:
        remedy = "a somersault takes a third of a second: 25 frames a second or more, with a smaller picture if need be"
        return [hint("source", text, remedy)]
    return [ok("source", text)]
