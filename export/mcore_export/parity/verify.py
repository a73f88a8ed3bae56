"""``mcore-bundle verify``: the comparison once more, on the device where the bundle will run, without torch.

Example:
    >>> rows = verify_bundle(Bundle.open("bundle"), "onnxruntime", log=print)
    >>> all(row.passed for row in rows)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext

from mcore.common.errors import ExportError
from mcore.video import sample_clip
from mcore.video.pyav_reader import frame_digests
from mcore_export.log import Log
from mcore_export.parity.compare import Expected, compare, compare_video, describe_failures, describe_row
from mcore_export.parity.golden import load_golden
from mcore_export.parity.limits import DEFAULT_LIMITS
from mcore_runtime.backends import BFLOAT16, Backend, open_variant
from mcore_runtime.backends.streaming import STREAMING_BACKENDS, StreamingBackbone, open_streaming
from mcore_runtime.bundle.folder import GOLDEN_VIDEO, Bundle
from mcore_runtime.bundle.records import GraphSet, ParityLimits, ParityRow, Precision


def verify_bundle(
    bundle: Bundle, backend: str = "auto", precision: Precision | None = None, *, log: Log
) -> tuple[ParityRow, ...]:
    """Run a bundle's graphs here and compare them with the PyTorch outputs that the bundle holds, from a video on.

    Args:
        bundle: opened, so that every file is the one that was exported.
        backend: its name, see ``open_variant``.
        precision: which graphs; None: those that the runtime would take.
        log: gets one line for the backend that really runs, and one for each comparison.

    Returns:
        One row for each comparison, passed or not, under the limits that the bundle was exported with; where the
        backend computes float32 graphs in bfloat16, under the default limits of int8.

    Raises:
        BundleError: the bundle has no golden values, or they are damaged.
        BackendError: the backend cannot run here, or cannot load the graphs.
    """
    golden = load_golden(bundle)
    engine, variant = open_variant(bundle.variants, backend, precision)
    with closing(engine):
        limits = bundle.manifest.variants[variant].limits
        if engine.name == BFLOAT16:  # the graphs' own limits are float32's
            limits = DEFAULT_LIMITS["int8"]
        rows = compare_with_streaming(engine, bundle.graphs(variant), golden, limits, log)
        return rows + _verify_video(bundle, engine, golden, limits, log)


def _verify_video(
    bundle: Bundle, backend: Backend, golden: Expected, limits: ParityLimits, log: Log
) -> tuple[ParityRow, ...]:
    """Read the bundle's video as a user's, and compare every step; nothing where an older version left it out."""
    if golden.video_frames is None or GOLDEN_VIDEO not in bundle.manifest.files:
        log("note: this bundle carries no video, so reading videos was not compared; export it again")
        return ()
    path, config = bundle.path / GOLDEN_VIDEO, bundle.model.clip
    frames = sample_clip(path, config, central=True).frames
    rows = compare_video(backend, frame_digests(path), frames, golden, limits)
    for row in rows:
        log(describe_row(row))
    return rows


def compare_with_streaming(
    backend: Backend, graphs: GraphSet, expected: Expected, limits: ParityLimits, log: Log
) -> tuple[ParityRow, ...]:
    """Compare an artefact with PyTorch, its streaming backbone too where it has one and the backend runs it."""
    has_streaming = graphs.streaming is not None and backend.name in STREAMING_BACKENDS
    opened = closing(open_streaming(graphs, backend.name)) if has_streaming else nullcontext()
    with opened as streaming:
        return compare_aloud(backend, expected, limits, log, streaming)


def compare_aloud(
    backend: Backend, expected: Expected, limits: ParityLimits, log: Log, streaming: StreamingBackbone | None = None
) -> tuple[ParityRow, ...]:
    """Compare an artefact with PyTorch and say so: which backend, which compute dtype, and each figure."""
    precision = ", ".join(f"{part} {kind}" for part, kind in backend.precision.items())
    log(f"{backend.name} ({backend.provider}): {precision}")
    for note in backend.notes:
        log(f"note: {note}")
    rows = compare(backend, expected, limits, streaming)
    for row in rows:
        log(describe_row(row))
    return rows


def require_pass(rows: Sequence[ParityRow]) -> None:
    """Raise unless every comparison passed.

    Raises:
        ExportError: names each part that disagrees, with figure and limit.
    """
    if failures := describe_failures(rows):
        raise ExportError(
            f"the exported graphs do not compute what the checkpoint computes, so nothing was written: {failures}"
        )
