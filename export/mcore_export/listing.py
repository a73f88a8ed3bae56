"""``mcore-export BUNDLE --list``: what a bundle holds, and what of it runs on this machine."""

from __future__ import annotations

from collections.abc import Callable

from mcore.errors import UserError, first_line
from mcore_runtime.backends import BACKENDS, open_backend
from mcore_runtime.bundle import Bundle
from mcore_runtime.records import GraphSet

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
        if variant.split is not None:
            head, frames = variant.split.head_frames, manifest.model.clip.num_frames
            say(f"  backbone in two parts for live streams: {head} frames of {frames}, then the rest")
        for kept in variant.kept:
            say(f"  in higher precision: {kept}")
        for line in variant.speed:
            say(f"  where it was exported: {line}")
    for engine in manifest.engines:
        say(f"engine {engine.name}: {sum(manifest.files[f].bytes for f in engine.files.values()) / 1e6:.1f} MB")
    say("on this machine:")
    for backend in (name for name in BACKENDS if name != "auto"):
        outcomes: dict[str, list[str]] = {}
        for name, graphs in bundle.variants.items():
            outcomes.setdefault(_try(graphs, backend), []).append(name)
        for outcome, names in outcomes.items():
            say(f"  {backend:17} {', '.join(names):11} {outcome}")


def _try(graphs: GraphSet, backend: str) -> str:
    try:
        engine = open_backend(graphs, backend)
    except UserError as error:  # not installed, no device, no engine that fits: each says what to do
        return f"no: {first_line(error)}"
    engine.close()
    return f"runs ({engine.provider})"
