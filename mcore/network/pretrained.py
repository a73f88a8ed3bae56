"""Weights for the backbone: ImageNet's, fetched or from a file, or those of drawn poses, which the package ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mcore.common.errors import CheckpointError, UserError
from mcore.common.optional import require
from mcore.config import BACKBONES
from mcore.network.backbone import RegNetY
from mcore.network.checkpoint import why_unreadable

POSES = Path(__file__).with_name("poses_tiny.safetensors")
"""Backbone of the preset ``tiny``, trained by ``mcore.pretrain`` on the rendered replica of FineDiving: half floats."""


def load_pretrained(backbone: RegNetY, source: str | Path) -> str:
    """Load weights of single pictures into a backbone; its shifts keep their initial values.

    Args:
        backbone: with any shift.
        source: a ``.safetensors``, ``.pth`` or ``.pt`` file with timm's parameter names, or ``"auto"`` to
            fetch timm's weights of the backbone's shape (cached by huggingface_hub), or ``"poses"`` for the shipped
            weights of the preset ``tiny``.

    Returns:
        Where the weights came from, for the log.

    Raises:
        UserError: ``"auto"`` for a backbone without published weights, or no connection.
        CheckpointError: the file is missing, unreadable, or has other names or shapes.
    """
    path = _fetch(backbone) if str(source) == "auto" else POSES if str(source) == "poses" else Path(source)
    state = {name: tensor for name, tensor in _read(path).items() if not name.startswith("head.")}
    own = backbone.state_dict()
    needed = {name for name in own if ".shift." not in name and not name.endswith("num_batches_tracked")}
    wrong_shape = {name for name in needed & set(state) if state[name].shape != own[name].shape}
    if problems := sorted((needed - set(state)) | (set(state) - set(own)) | wrong_shape):
        raise CheckpointError(
            f"{path} does not fit this backbone: {len(problems)} of its parameters are missing, unknown or of "
            f"another shape, such as {', '.join(problems[:3])}. Needed: timm's names for widths "
            f"{backbone.config.widths}"
        )
    backbone.load_state_dict(state, strict=False)
    return str(path)


def _fetch(backbone: RegNetY) -> Path:
    shape = replace(backbone.config, shift="none")  # ImageNet has single pictures: the shift is ours alone
    published = {name: named for name, named in BACKBONES.items() if named.pretrained is not None}
    fitting = [named.pretrained for named in published.values() if replace(named.config, shift="none") == shape]
    if not fitting:
        raise UserError(
            f"no ImageNet weights are published for widths {backbone.config.widths}; allowed: "
            f"{', '.join(published)}, or give a file: --pretrained WEIGHTS.safetensors"
        )
    hub = require("huggingface_hub", "train", "Fetching ImageNet weights")
    file = (fitting[0], "model.safetensors")
    if isinstance(cached := hub.try_to_load_from_cache(*file), str):
        return Path(cached)
    try:
        # One quick question first: the download itself tries for half a minute where there is no connection.
        hub.get_hf_file_metadata(hub.hf_hub_url(*file), timeout=10)
        return Path(hub.hf_hub_download(*file))
    except Exception as error:  # the hub's client raises a dozen kinds, of several packages, when it is offline
        raise UserError(
            f"cannot fetch {fitting[0]} ({type(error).__name__}). Without a connection, download its "
            "model.safetensors elsewhere and pass the file: --pretrained model.safetensors"
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"no weights at {path}; give a .safetensors, .pth or .pt file, or 'auto'")
    load: Callable[[Path], Any] = partial(torch.load, map_location="cpu", weights_only=True)
    if path.suffix == ".safetensors":
        load = require("safetensors.torch", "train", "Reading .safetensors files").load_file
    try:
        loaded = load(path)
    except Exception as error:  # unpickling a file of any other kind can raise anything
        raise CheckpointError(f"{path} cannot be read as weights: {why_unreadable(error)}") from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path} holds no dict of named tensors")
    return loaded
