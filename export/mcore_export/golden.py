"""Golden values: one rendered dive's input and what PyTorch makes of it, stored in the bundle.

A device compares its own engine with them, without torch.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore.config import ModelConfig
from mcore.errors import BundleError
from mcore.video import normalise
from mcore_export.compare import ExpectedClip, ExpectedComparison
from mcore_runtime.bundle import GOLDEN_FILE, Bundle


@dataclass(frozen=True, eq=False)
class GoldenValues:
    """What ``golden.npz`` holds."""

    expected: ExpectedClip
    """The dive and PyTorch's encoding of it."""
    comparison: ExpectedComparison
    """PyTorch's comparison of the dive with other dives."""


def write_golden(
    folder: Path, frames: NDArray[np.uint8], expected: ExpectedClip, comparison: ExpectedComparison
) -> None:
    """Write ``golden.npz``.

    Args:
        folder: of the bundle.
        frames: (T, c, c, 3) uint8 RGB: normalised it is ``expected.clip``, at a quarter of the size.
        expected: PyTorch's encoding of the clip.
        comparison: PyTorch's comparison of ``expected.tokens`` with others.
    """
    np.savez_compressed(
        folder / GOLDEN_FILE,
        frames=frames,
        features=expected.features[None],
        logits=expected.logits[None],
        transitions=expected.transitions[None],
        tokens=expected.tokens[None],
        exemplars=comparison.exemplars,
        delta=comparison.delta,
        stage_deltas=comparison.stage_deltas,
    )


def load_golden(bundle: Bundle) -> GoldenValues:
    """Read a bundle's golden values and check that they fit its network.

    Raises:
        BundleError: the bundle has none, or they are damaged or those of another network.
    """
    path = bundle.path / GOLDEN_FILE
    if GOLDEN_FILE not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.path} has no {GOLDEN_FILE}, the values that a device compares itself with; export the bundle "
            "again with: mcore-export CHECKPOINT --out BUNDLE"
        )
    values = _read(path, bundle.model)
    clip = normalise(values["frames"], bundle.model.clip)
    names = ("features", "logits", "transitions", "tokens")
    features, logits, transitions, tokens = (values[name][0] for name in names)
    return GoldenValues(
        ExpectedClip(clip, features, logits, transitions, tokens),
        ExpectedComparison(tokens, values["exemplars"], values["delta"], values["stage_deltas"]),
    )


def _read(path: Path, model: ModelConfig) -> dict[str, NDArray[Any]]:
    contract = _contract(model)
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in contract}
    except (KeyError, ValueError, OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BundleError(f"{path} cannot be read ({error}); export the bundle again") from error
    count = len(values["exemplars"]) if values["exemplars"].ndim else 0
    for name, (dtype, shape) in contract.items():
        wanted = tuple(count if axis is None else axis for axis in shape)
        got = values[name]
        if got.dtype != dtype or got.shape != wanted or count < 1:
            raise BundleError(
                f"{path}: {name} is {got.dtype} {got.shape}, this network's is {np.dtype(dtype)} {wanted} with at "
                "least one exemplar; export the bundle again"
            )
    return values


def _contract(model: ModelConfig) -> dict[str, tuple[type[np.generic], tuple[int | None, ...]]]:
    """Element type and shape of each array; None is the number of exemplars."""
    clip, dim, tokens = model.clip, model.backbone.feature_dim, model.num_tokens
    frames, side = clip.num_frames, clip.crop_size
    return {
        "frames": (np.uint8, (frames, side, side, 3)),
        "features": (np.float32, (1, frames, dim)),
        "logits": (np.float32, (1, frames, 2)),
        "transitions": (np.int64, (1, 2)),
        "tokens": (np.float32, (1, tokens, dim)),
        "exemplars": (np.float32, (None, tokens, dim)),
        "delta": (np.float32, (None,)),
        "stage_deltas": (np.float32, (None, 3)),
    }
