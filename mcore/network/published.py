"""The published implementation's checkpoints, renamed to our names (docs/reference/network.md, sections 2 and 8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mcore.common.errors import CheckpointError
from mcore.config import BACKBONES, ModelConfig
from mcore.network.gated_shift import GatedShift

PARTS = ("base_model", "psnet_model", "decoder", "regressor_delta")
"""Keys of a published checkpoint that hold weights."""

_RENAMES: dict[str, list[tuple[str, str]]] = {
    "base_model": [
        (r"^_features\.", "backbone."),
        (r"\.conv1\.net\.", ".conv1."),
        (r"\.conv1\.gsm\.bn\.", ".shift.bn."),
        (r"\.conv1\.gsm\.conv3D\.weight$", ".shift.gate.weight"),
        (r"\.conv1\.gsm\.conv3D\.bias$", ".shift.gate_bias"),
    ],
    "psnet_model": [
        (r"^_pred_fine\._gru\.", "segmenter.gru."),
        (r"^_pred_fine\._fc_out\._fc_out\.", "segmenter.output."),
    ],
    "decoder": [(r"^model\.", "decoder.layers.")],
    "regressor_delta": [(r"^", "regressor.")],
}


def is_published(content: Mapping[str, Any]) -> bool:
    """Return whether a loaded checkpoint has the published layout, whole or in part."""
    return any(part in content for part in PARTS)


def convert(content: Mapping[str, Any], path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Rename a published checkpoint's weights to ours.

    Args:
        content: the loaded file.
        path: where it came from, for errors.

    Returns:
        The configuration that its shapes imply, and the weights in our names.

    Raises:
        CheckpointError: a part is missing, or the backbone is none of ours.
    """
    if missing := [part for part in PARTS if not isinstance(content.get(part), Mapping)]:
        raise CheckpointError(f"{path} looks like a published checkpoint but has no {', '.join(missing)}")
    if bad := [name for part in PARTS for name, value in content[part].items() if not isinstance(value, Tensor)]:
        raise CheckpointError(f"{path} looks like a published checkpoint, but {bad[0]} is no tensor")
    state: dict[str, Tensor] = {}
    for part in PARTS:
        for name, tensor in content[part].items():
            name = str(name).removeprefix("module.")
            for pattern, replacement in _RENAMES[part]:
                name = re.sub(pattern, replacement, name)
            is_gate = name.endswith(".shift.gate.weight")
            state[name] = GatedShift.gate_weight_from_3d(tensor) if is_gate else tensor
    return _config_of(state, path), state


def _config_of(state: Mapping[str, Tensor], path: Path) -> ModelConfig:
    widths = tuple(
        tensor.shape[0]
        for stage in range(1, 5)
        if (tensor := state.get(f"backbone.s{stage}.b1.conv3.conv.weight")) is not None
    )
    for named in BACKBONES.values():
        if named.config.widths == widths:
            return ModelConfig(backbone=named.config)
    raise CheckpointError(
        f"{path}: no known backbone has stages of widths {widths}; known: "
        + ", ".join(f"{name} {named.config.widths}" for name, named in BACKBONES.items())
    )
