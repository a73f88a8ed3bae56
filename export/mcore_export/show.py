"""``mcore-bundle show``: contents of a bundle, and what of it runs on this machine."""

from __future__ import annotations

from mcore.common.conformal import ConformalInterval
from mcore.common.likeness import describe_known_dives
from mcore.data.trained_on import describe_training
from mcore_export.log import Log
from mcore_runtime.backends.trial import try_backends
from mcore_runtime.bundle.folder import PICTURES_FILE, SPOTTER_FILE, Bundle
from mcore_runtime.bundle.manifest import BundleManifest
from mcore_runtime.bundle.records import ConformalIntervals, VariantRecord
from mcore_runtime.scoring.recognition import describe_recogniser


def show_bundle(bundle: Bundle, log: Log) -> None:
    """Describe a bundle line by line; every backend really loads it, because only that tells whether it works.

    Args:
        bundle: opened.
        log: gets each line.
    """
    manifest = bundle.manifest
    made = ", ".join(f"{name} {version}" for name, version in manifest.tools.items())
    log(
        f"{bundle.path}: exported {manifest.created} from {manifest.checkpoint.name}, opset {manifest.opset}, "
        f"{manifest.decoding} decoding"
    )
    log(f"made with {made}")
    log(bundle.caution or describe_training(manifest.trained_on))
    for name, variant in manifest.variants.items():
        _show_variant(manifest, name, variant, log)
    if PICTURES_FILE in manifest.files:
        log(f"pictures of the exemplars: {manifest.files[PICTURES_FILE].bytes / 1e6:.1f} MB")
    if SPOTTER_FILE in manifest.files:
        log("finds dives by a spotter of its own")
    for engine in manifest.engines:
        log(f"engine {engine.name}: {sum(manifest.files[f].bytes for f in engine.files.values()) / 1e6:.1f} MB")
    log("on this machine:")
    for trial in try_backends(bundle):
        state = trial.text if trial.runs else f"no: {trial.text}"
        log(f"  {trial.backend:17} {', '.join(trial.precisions):11} {state}")


def _show_variant(manifest: BundleManifest, name: str, variant: VariantRecord, log: Log) -> None:
    size = sum(manifest.files[graph.file].bytes for graph in variant.all_graphs)
    bank = variant.exemplars
    exemplars = "no exemplars" if bank is None else f"{bank.count} exemplars of {len(bank.per_dive_number)} dives"
    worst = max((row.figure for row in variant.parity if row.measure == "score_max"), default=None)
    parity = "not compared" if worst is None else f"at most {worst:.2g} points from PyTorch"
    parts = ", ".join(f"{part} {kind}" for part, kind in variant.precision.items())
    log(f"{name}: {size / 1e6:.1f} MB ({parts}), {exemplars}, {parity}")
    if bank is not None:
        log(f"  {_intervals(bank.conformal)}")
        log(f"  {describe_known_dives(bank.known_dives)}")
        log(f"  {describe_recogniser(bank.recogniser)}")
    if variant.streaming is not None:
        frames = manifest.model.clip.num_frames
        log(f"  streaming backbone, for live streams: {variant.streaming.prefix_frames} frames of {frames} beforehand")
    if variant.batched is not None:
        log("  graphs with a batch axis, for servers")
    if variant.for_cpu:
        log("  CPU layout (--for-cpu)")
    for kept in variant.kept:
        log(f"  in higher precision: {kept}")
    for line in variant.speed:
        log(f"  where it was exported: {line}")


def _intervals(found: ConformalIntervals | None) -> str:
    if found is None or (found.same_number or found.other_numbers) is None:
        return "no conformal interval: scores come with the range of the exemplars"
    same, others = (_describe(part) for part in (found.same_number, found.other_numbers))
    return f"{same}; without exemplars of the number {others} ({found.split} of {found.source})"


def _describe(part: ConformalInterval | None) -> str:
    if part is None:
        return "the range of the exemplars"
    per_difficulty = part.half_width_per_difficulty
    known = "" if per_difficulty is None else f", {per_difficulty:.2f} times the difficulty where it is known"
    return (
        f"{100 * part.level:.0f} % interval: {part.half_width_points:.1f} points each way{known}, "
        f"by {part.num_dives} dives"
    )
