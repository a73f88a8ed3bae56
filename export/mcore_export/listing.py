"""``mcore-export BUNDLE --list``: what a bundle holds, and what of it runs on this machine."""

from __future__ import annotations

from collections.abc import Callable

from mcore.common.conformal import Calibration
from mcore_runtime.backends.trial import try_backends
from mcore_runtime.bundle.folder import PICTURES_FILE, Bundle
from mcore_runtime.bundle.records import BankCalibration

Say = Callable[[str], None]


def list_bundle(bundle: Bundle, say: Say) -> None:
    """Describe a bundle line by line; every engine is really loaded, because only that tells whether it works.

    Args:
        bundle: opened.
        say: gets each line.
    """
    manifest = bundle.manifest
    made = ", ".join(f"{name} {version}" for name, version in manifest.tools.items())
    say(f"{bundle.path}: exported {manifest.created} from {manifest.checkpoint.name}, opset {manifest.opset}")
    say(f"made with {made}")
    for name, variant in manifest.variants.items():
        size = sum(manifest.files[graph.file].bytes for graph in variant.all_graphs)
        bank = variant.exemplars
        exemplars = "no exemplars" if bank is None else f"{bank.count} exemplars of {len(bank.per_dive_number)} dives"
        worst = max((row.figure for row in variant.gate if row.measure == "score_max"), default=None)
        gate = "not compared" if worst is None else f"at most {worst:.2g} points from PyTorch"
        parts = ", ".join(f"{part} {kind}" for part, kind in variant.precision.items())
        say(f"{name}: {size / 1e6:.1f} MB ({parts}), {exemplars}, {gate}")
        if bank is not None:
            say(f"  {_interval(bank.calibration)}")
        if variant.split is not None:
            head, frames = variant.split.head_frames, manifest.model.clip.num_frames
            say(f"  backbone in two parts for live streams: {head} frames of {frames}, then the rest")
        if variant.for_cpu:
            say("  arranged for CPUs (--for-cpu)")
        for kept in variant.kept:
            say(f"  in higher precision: {kept}")
        for line in variant.speed:
            say(f"  where it was exported: {line}")
    if PICTURES_FILE in manifest.files:
        say(f"pictures of the exemplars: {manifest.files[PICTURES_FILE].bytes / 1e6:.1f} MB")
    for engine in manifest.engines:
        say(f"engine {engine.name}: {sum(manifest.files[f].bytes for f in engine.files.values()) / 1e6:.1f} MB")
    say("on this machine:")
    for trial in try_backends(bundle):
        said = trial.text if trial.runs else f"no: {trial.text}"
        say(f"  {trial.backend:17} {', '.join(trial.precisions):11} {said}")


def _interval(calibration: BankCalibration | None) -> str:
    if calibration is None or (calibration.same_number or calibration.other_numbers) is None:
        return "no calibrated interval: scores come with the exemplars' spread"
    same, others = (_describe(part) for part in (calibration.same_number, calibration.other_numbers))
    return f"{same}; without exemplars of the number {others} ({calibration.split} of {calibration.source})"


def _describe(part: Calibration | None) -> str:
    if part is None:
        return "the exemplars' spread"
    return f"{100 * part.level:.0f} % interval: {part.half_width_points:.1f} points each way, by {part.num_dives} dives"
