"""Golden values: the rendered dives of every comparison and what PyTorch makes of them, stored in the bundle.

A device compares its own engines with them, without torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import BundleError
from mcore.common.npz import read_arrays
from mcore.config import ModelConfig
from mcore_export.parity.compare import EXEMPLAR_COUNTS, Expected, ExpectedClip
from mcore_runtime.bundle.folder import GOLDEN_FILE, Bundle

_VIDEO = "video_frames"
_OF_CLIP = ("frames", "features", "logits", "transitions", "tokens")


def write_golden(folder: Path, expected: Expected) -> None:
    """Write ``golden.npz``: what PyTorch expects, frames before their normalisation."""
    video = {} if expected.video_frames is None else {_VIDEO: expected.video_frames}
    values = {name: np.stack([getattr(clip, name) for clip in expected.clips]) for name in _OF_CLIP}
    np.savez_compressed(
        folder / GOLDEN_FILE,
        allow_pickle=False,
        **values,
        **video,
        scores=expected.scores,
        deltas=expected.deltas,
        mixed_deltas=np.concatenate(expected.mixed_deltas),
        mixed_stage_deltas=np.concatenate(expected.mixed_stage_deltas),
    )


def load_golden(bundle: Bundle) -> Expected:
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
    edges = np.cumsum(EXEMPLAR_COUNTS)[:-1]
    return Expected(
        clip_config=bundle.model.clip,
        decoding=bundle.manifest.decoding,
        clips=tuple(ExpectedClip(*(values[name][i] for name in _OF_CLIP)) for i in range(len(values["frames"]))),
        scores=values["scores"],
        deltas=values["deltas"],
        mixed_deltas=tuple(np.split(values["mixed_deltas"], edges)),
        mixed_stage_deltas=tuple(np.split(values["mixed_stage_deltas"], edges)),
        video_frames=values.get(_VIDEO),
    )


def _read(path: Path, model: ModelConfig) -> dict[str, NDArray[Any]]:
    contract = _contract(model)
    try:
        found = read_arrays(path)
        values = {name: found[name] for name in contract}
        if _VIDEO in found:  # not in bundles of older versions
            values[_VIDEO] = found[_VIDEO].astype(np.uint64).reshape(-1)
    except (KeyError, ValueError) as error:
        raise BundleError(f"{path} cannot be read ({error}); export the bundle again") from error
    count = len(values["frames"]) if values["frames"].ndim else 0
    for name, (dtype, shape) in contract.items():
        wanted = tuple(count if axis is None else axis for axis in shape)
        got = values[name]
        if got.dtype != dtype or got.shape != wanted or count < 2:
            raise BundleError(
                f"{path}: {name} is {got.dtype} {got.shape}, this network's is {np.dtype(dtype)} {wanted} with at "
                "least two clips; export the bundle again"
            )
    return values


def _contract(model: ModelConfig) -> dict[str, tuple[type[np.generic], tuple[int | None, ...]]]:
    """Element type and shape of each array; None is the number of clips."""
    clip, dim, tokens = model.clip, model.backbone.feature_dim, model.num_tokens
    frames, side, mixtures = clip.num_frames, clip.crop_size, sum(EXEMPLAR_COUNTS)
    return {
        "frames": (np.uint8, (None, frames, side, side, 3)),
        "features": (np.float32, (None, frames, dim)),
        "logits": (np.float32, (None, frames, 2)),
        "transitions": (np.int64, (None, 2)),
        "tokens": (np.float32, (None, tokens, dim)),
        "scores": (np.float64, (None,)),
        "deltas": (np.float32, (None, None)),
        "mixed_deltas": (np.float32, (mixtures,)),
        "mixed_stage_deltas": (np.float32, (mixtures, 3)),
    }
