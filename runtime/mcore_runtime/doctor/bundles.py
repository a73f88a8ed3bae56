"""Probes of a bundle: its files, its exemplars, and the backends that run it here."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError, first_line
from mcore.common.likeness import describe_known_dives
from mcore.common.optional import install_command
from mcore.data.trained_on import describe_training
from mcore_runtime.backends import BackendName
from mcore_runtime.backends.trial import Trial, try_backend
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.doctor.findings import Finding, absent, error, hint, ok, split_advice
from mcore_runtime.scoring.recognition import describe_recogniser
from mcore_runtime.scoring.scorer import Scorer

_NUM_ROUNDS = 3
"""The first one also prepares memory."""
_SLOW_CLIP_MS = 3000.0


def bundle(path: Path) -> list[Finding]:
    """Check that a bundle is whole, and list its precisions and exemplars."""
    try:
        opened = Bundle.open(path)
    except UserError as refused:
        return [error(first_line(refused))]
    manifest = opened.manifest
    found = [ok(f"{path}: whole, {', '.join(manifest.variants)}, from {manifest.checkpoint.name}")]
    if opened.caution is None:
        found.append(ok(describe_training(manifest.trained_on)))
    else:
        found.append(hint(opened.caution, "train with real, judged dives, whose list states their origin"))
    bank = next((variant.exemplars for variant in manifest.variants.values() if variant.exemplars), None)
    if bank is None:
        remedy = f"mcore-bundle exemplars {path} --dives DIVES.jsonl --out NEW_BUNDLE"
        found.append(error("it has no exemplars: it cannot score", remedy))
    else:
        numbers = ", ".join(f"{name} {count}" for name, count in list(bank.per_dive_number.items())[:12])
        more = "" if len(bank.per_dive_number) <= 12 else ", ..."
        found.append(ok(f"{bank.count} exemplars of {len(bank.per_dive_number)} dives: {numbers}{more}"))
        said = describe_known_dives(bank.known_dives)
        found.append(hint(*split_advice(said)) if bank.known_dives is None else ok(said))
        said = describe_recogniser(bank.recogniser)
        found.append(hint(*split_advice(said)) if bank.recogniser is None else ok(said))
    return found


def trial(path: Path, backend: BackendName) -> list[Finding]:
    """Try whether a backend runs a bundle's graphs here."""
    return [_finding(trial) for trial in try_backend(Bundle.open(path), backend)]


def _finding(trial: Trial) -> Finding:
    name = f"{trial.backend}, {', '.join(trial.precisions)}"
    if trial.runs:
        return ok(f"{name}: {trial.text}")
    wrong, remedy = split_advice(trial.text)
    return absent(f"{name}: {wrong}", remedy)


def automatic_choice(path: Path) -> list[Finding]:
    """Find the backend that ``--backend auto`` takes, with its notes and its time for a clip."""
    try:
        with Scorer(path) as scorer:
            backend, config = scorer.backend, scorer.clip_config
            text = f"--backend auto takes {backend.name}, {scorer.precision}, on {backend.provider}"
            clip = np.zeros((3, config.num_frames, config.crop_size, config.crop_size), np.float32)
            milliseconds = min(_encode_ms(scorer, clip) for _ in range(_NUM_ROUNDS))
    except UserError as refused:
        return [error(f"none runs it: {first_line(refused)}", install_command("runtime"))]
    found = [ok(f"{text}: {milliseconds:.0f} ms for a clip of {config.num_frames} frames")]
    if milliseconds > _SLOW_CLIP_MS:
        remedy = "a GPU, a faster power mode, or a smaller network; what a dive begins with is computed while it lasts"
        found.append(hint(f"a score comes {milliseconds / 1e3:.1f} s after the dive at the latest", remedy))
    return [*found, *(hint(note) for note in backend.notes)]


def _encode_ms(scorer: Scorer, clip: NDArray[np.float32]) -> float:
    began_s = time.perf_counter()
    scorer.encode(clip)
    return (time.perf_counter() - began_s) * 1e3
