"""Checkpoints: written atomically, read without running code, ours and the published layout alike.

Ours is a dict of plain containers and tensors with the model's configuration. The published one (a dict with
``base_model``, ``psnet_model``, ``decoder`` and ``regressor_delta``, keys prefixed ``module.``) is recognised
by its keys and renamed (``mcore.network.published``).
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mcore.common.errors import CheckpointError, UserError, first_line
from mcore.common.files import replacing
from mcore.config import ModelConfig, from_dict, to_dict
from mcore.network import published
from mcore.network.model import MCoRe

FORMAT = "mcore-checkpoint"
VERSION = 1

# The published training code stores its best metrics as NumPy scalars, which a safe load refuses by default.
_NUMPY_SCALARS: list[Any] = [
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f8", "f4", "i8")),
    # The same function under its old and its new module name: the name is what the pickle holds.
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint file."""

    config: ModelConfig
    """The network's configuration."""
    state_dict: dict[str, Tensor]
    """The network's weights, in our names."""
    extra: dict[str, Any]
    """What else was saved: optimiser, epoch, metrics, where the training data lie."""


def save_checkpoint(path: str | Path, model: MCoRe, *, extra: Mapping[str, object] | None = None) -> None:
    """Write a checkpoint; a crash at any moment leaves either the old file or the new one, whole.

    Args:
        path: file to write; its folder is made.
        model: network to save, from any device.
        extra: tensors and plain containers to save beside it.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "config": to_dict(model.config),
        "model": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        "extra": dict(extra or {}),
    }
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint of ours or of the published code, on the CPU.

    Raises:
        CheckpointError: no such file, not a checkpoint, one that would run code when loaded, or one of a
            newer version.
    """
    path = Path(path)
    checkpoint = _parse(_load_safely(path), path)
    for name, value in checkpoint.state_dict.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(
                f"{path}: {name} holds values that are no finite numbers, and so would every score; take another copy, "
                "or an earlier checkpoint of the training"
            )
    return checkpoint


def _parse(content: dict[str, Any], path: Path) -> Checkpoint:
    """Tell ours from the published layout, and take it apart."""
    if published.is_published(content):
        config, state = published.convert(content, path)
        extra = {key: value for key, value in content.items() if key not in published.PARTS}
        return Checkpoint(config, state, extra)
    if content.get("format") != FORMAT:
        found = ", ".join(map(str, list(content)[:6])) or "nothing"
        raise CheckpointError(
            f"{path} is not a checkpoint of this network: it holds {found}. Allowed: files written by "
            f"mcore.train, and published ones with {', '.join(published.PARTS)}"
        )
    try:
        if content["version"] > VERSION:
            raise CheckpointError(
                f"{path} has checkpoint version {content['version']}, this mcore-edge reads up to {VERSION}: upgrade it"
            )
        return Checkpoint(from_dict(ModelConfig, content["config"]), content["model"], content["extra"])
    except KeyError as error:
        raise CheckpointError(f"{path} is incomplete: no {error.args[0]!r}") from error
    except CheckpointError:
        raise
    except UserError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {first_line(error)}; take another copy of it") from error


def load_checkpoint(path: str | Path) -> MCoRe:
    """Load the network of a checkpoint, ours or published, ready to score.

    Args:
        path: checkpoint file.

    Returns:
        The network in evaluation mode, on the CPU, float32.

    Raises:
        CheckpointError: the file is not a checkpoint of this network.

    Example:
        >>> model = mcore.load_checkpoint("runs/paper/best.pt")
        >>> encoding = model.encode(mcore.read_clip("dive.mp4")[None])
    """
    return build_model(read_checkpoint(path), path)


def build_model(checkpoint: Checkpoint, path: str | Path) -> MCoRe:
    """Build the network of a checkpoint that was read from ``path`` (named in errors)."""
    model = MCoRe(checkpoint.config)
    try:
        model.load_state_dict(checkpoint.state_dict)
    except RuntimeError as error:  # torch's message lists every missing, unexpected and misshapen name
        raise CheckpointError(f"{path} does not fit the network it names: {error}") from error
    return model.eval()


def why_unreadable(error: Exception) -> str:
    """Say why a safe load failed; torch's own text advises to load the file unsafely."""
    if isinstance(error, pickle.UnpicklingError):
        return "it is not a file of tensors, or it holds other objects too"
    return first_line(error)


def _load_safely(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; train one with: python -m mcore.train")
    try:
        _check_sums(path)
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling a damaged file can raise anything: IndexError, struct.error
        raise CheckpointError(
            f"{path} cannot be loaded as a checkpoint: {why_unreadable(error)} (only tensors and plain containers are "
            "read; code in a pickle is never run)"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def _check_sums(path: Path) -> None:
    """Raise ValueError where a part of the file is not what was written: torch reads it without a look at the sums."""
    if zipfile.is_zipfile(path):  # the layout before PyTorch 1.6 has no sums
        with zipfile.ZipFile(path) as archive:
            if (name := archive.testzip()) is not None:
                raise ValueError(f"its part {name} was changed after it was written")
