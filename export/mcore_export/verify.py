"""``mcore-export BUNDLE --verify``: the gate once more, on the device where the bundle will run, without torch.

Example:
    >>> rows = verify_bundle(Bundle.open("bundle"), "onnxruntime", say=print)
    >>> all(row.passed for row in rows)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from mcore_export.compare import (
    GateLimits,
    backbone_rows,
    chain_rows,
    describe_row,
    encode_all,
    limits_of,
    regressor_row,
    segmenter_rows,
)
from mcore_export.golden import GoldenValues, load_golden
from mcore_runtime.backends import Backend, open_backend
from mcore_runtime.bundle import Bundle, GateRow


def verify_bundle(bundle: Bundle, backend: str = "auto", *, say: Callable[[str], None]) -> tuple[GateRow, ...]:
    """Run a bundle's graphs here and compare them with the PyTorch outputs that the bundle holds.

    Args:
        bundle: opened, so that every file is the one that was exported.
        backend: name of the engine, see ``open_backend``.
        say: gets one line for the engine that really runs, and one for each comparison.

    Returns:
        One row for each comparison, passed or not, under the limits that the bundle was exported with.

    Raises:
        BundleError: the bundle has no golden values or no limits, or they are damaged.
        BackendError: the engine cannot run here, or cannot load the graphs.
    """
    limits, golden = limits_of(bundle.manifest.gate), load_golden(bundle)
    with closing(open_backend(bundle.graphs, backend)) as engine:
        precision = ", ".join(f"{part} {kind}" for part, kind in engine.precision.items())
        say(f"{engine.name} ({engine.provider}): {precision}")
        for note in engine.notes:
            say(f"note: {note}")
        rows = _compare(engine, golden, limits)
    for row in rows:
        say(describe_row(row))
    return rows


def _compare(backend: Backend, golden: GoldenValues, limits: GateLimits) -> tuple[GateRow, ...]:
    expected, comparison = [golden.expected], golden.comparison
    encoded = encode_all(backend, expected)
    delta, _ = backend.regressor(encoded[0].tokens[None], comparison.exemplars)
    return (
        *backbone_rows(backend, expected, limits),
        *segmenter_rows(backend, expected, limits),
        regressor_row(backend, comparison, limits),
        *chain_rows(encoded, expected, [(delta, comparison.delta)], limits),
    )
