"""Probes of what somebody wants to do here: run a bundle, and watch a source."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError, first_line
from mcore_runtime.backends import BackendName
from mcore_runtime.backends.trial import Trial, try_backend
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.doctor.findings import Finding, absent, hint, ok, split_advice, trouble
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.sources import open_source

_FIRST_FRAME_S = 15.0
_ENOUGH_FAILURES = 3
_WATCH_S = 2.0
_ROUNDS = 3
"""The first one also prepares memory."""
_SLOW_CLIP_MS = 3000.0
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
        remedy = f"mcore-bundle exemplars {path} --dives DIVES.jsonl --out NEW_BUNDLE"
        found.append(trouble("bundle", "it has no exemplars: it cannot score", remedy))
    else:
        numbers = ", ".join(f"{name} {count}" for name, count in list(bank.per_dive_number.items())[:12])
        more = "" if len(bank.per_dive_number) <= 12 else ", ..."
        found.append(ok("bundle", f"{bank.count} exemplars of {len(bank.per_dive_number)} dives: {numbers}{more}"))
    return found


def trial(path: Path, backend: BackendName) -> list[Finding]:
    """Whether a backend runs a bundle's graphs here."""
    return [_engine(trial) for trial in try_backend(Bundle.open(path), backend)]


def _engine(trial: Trial) -> Finding:
    name = f"{trial.backend}, {', '.join(trial.precisions)}"
    if trial.runs:
        return ok("engines", f"{name}: {trial.text}")
    wrong, remedy = split_advice(trial.text)
    return absent("engines", f"{name}: {wrong}", remedy)


def chosen(path: Path) -> list[Finding]:
    """What ``--backend auto`` takes, what it says about that, and how long it takes for a clip."""
    try:
        with Scorer(path) as scorer:
            backend, config = scorer.backend, scorer.clip_config
            text = f"--backend auto takes {backend.name}, {scorer.precision}, on {backend.provider}"
            clip = np.zeros((3, config.num_frames, config.crop_size, config.crop_size), np.float32)
            milliseconds = min(_encode_ms(scorer, clip) for _ in range(_ROUNDS))
    except UserError as error:
        return [trouble("engines", f"none runs it: {first_line(error)}", "pip install '.[runtime]'")]
    found = [ok("engines", f"{text}: {milliseconds:.0f} ms for a clip of {config.num_frames} frames")]
    if milliseconds > _SLOW_CLIP_MS:
        remedy = "a GPU, a faster power mode, or a smaller network; what a dive begins with is computed while it lasts"
        found.append(hint("engines", f"a score comes {milliseconds / 1e3:.1f} s after the dive at the latest", remedy))
    return [*found, *(hint("engines", note) for note in backend.notes)]


def _encode_ms(scorer: Scorer, clip: NDArray[np.float32]) -> float:
    began_s = time.perf_counter()
    scorer.encode(clip)
    return (time.perf_counter() - began_s) * 1e3


def source(address: str) -> list[Finding]:
    """Whether frames come, how large, and how many a second."""
    try:
        with open_source(address) as opened:
            name = opened.uri.public
            end_s = time.monotonic() + _FIRST_FRAME_S
            while (first := opened.read(0.1)) is None and not opened.is_over and time.monotonic() < end_s:
                if opened.status().failures >= _ENOUGH_FAILURES:
                    break
            if first is None:
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
