"""Weights of another checkpoint as the start of a new training: every layer that agrees in name and shapes.

The network keeps the configuration it was given, so that a checkpoint of 32 small frames can start a network for 96
large ones. A layer is taken whole or not at all: a bias whose weight does not fit is of no use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from mcore.common.errors import CheckpointError
from mcore.config import BACKBONES, BackboneConfig
from mcore.network.checkpoint import read_checkpoint
from mcore.network.model import MCoRe
from mcore.network.regressor import Decoder, DecoderLayer

LAST_LAYER = "regressor.layer3"
"""Layer that gives points; an untrained one starts scaled (``mcore.training.loop.scale_last_layer``)."""
_LONGEST_LIST = 6


@dataclass(frozen=True)
class StartWeights:
    """Weights that a network was given from another checkpoint."""

    source: dict[str, str]
    """``checkpoint`` (its path as given) and ``sha256``; recorded beside the run."""
    num_taken: int
    """Tensors that were taken."""
    num_tensors: int
    """Tensors of the network."""
    new: tuple[str, ...]
    """Layers, or modules of which no layer was taken, that start as in a training without a checkpoint."""
    has_last_layer: bool
    """Whether LAST_LAYER was taken: trained, hence in points already."""

    def __str__(self) -> str:
        if not self.new:
            return f"weights of {self.source['checkpoint']} (all {self.num_tensors} tensors)"
        more = f" and {len(self.new) - _LONGEST_LIST} more" if len(self.new) > _LONGEST_LIST else ""
        return (
            f"weights of {self.source['checkpoint']} ({self.num_taken} of {self.num_tensors} tensors; "
            f"new: {', '.join(self.new[:_LONGEST_LIST])}{more})"
        )


def load_start_weights(model: MCoRe, path: Path) -> StartWeights:
    """Give a network the weights of a checkpoint, ours or published, that fit it; the others stay as they are.

    Args:
        model: network, untrained.
        path: checkpoint file.

    Raises:
        CheckpointError: the file is not a checkpoint, or no layer of its backbone's blocks fits.
    """
    checkpoint = read_checkpoint(path)
    own, given = model.state_dict(), checkpoint.state_dict
    layers = dict.fromkeys(map(_layer, own))
    mismatched = {_layer(name) for name in own if name not in given or given[name].shape != own[name].shape}
    taken = [layer for layer in layers if layer not in mismatched]
    if not any(_is_of_a_block(layer) for layer in taken):
        raise CheckpointError(
            f"{path} has another backbone, and nothing of its blocks fits this network. Take the checkpoint's "
            f"({_describe(checkpoint.config.backbone)}), or another checkpoint"
        )
    fitting = {name: given[name] for name in own if _layer(name) not in mismatched}
    model.load_state_dict(fitting, strict=False)
    if LAST_LAYER in taken:
        _zero_new_decoder_branches(model.decoder, mismatched)
    return StartWeights(
        source={"checkpoint": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        num_taken=sum(map(_is_learned, fitting)),
        num_tensors=sum(map(_is_learned, own)),
        new=_shortest_prefixes([layer for layer in layers if layer in mismatched], taken),
        has_last_layer=LAST_LAYER in taken,
    )


def _zero_new_decoder_branches(decoder: Decoder, mismatched: Container[str]) -> None:
    """Set the last layer of each new residual branch to zero, so that new decoder layers pass on their input unchanged.

    The trained layers behind them expect that input. With random branches the regression collapsed to a constant
    within two epochs.
    """
    for number, layer in enumerate(decoder.layers):
        assert isinstance(layer, DecoderLayer)
        for name, last in (("attn.proj", layer.attn.proj), ("mlp.fc2", layer.mlp.fc2)):
            if f"decoder.layers.{number}.{name}" in mismatched:
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)


def _layer(name: str) -> str:
    """Return the layer of a tensor; a shift's gate, its batch-norm and its bias are one."""
    block, shift, _ = name.partition(".shift.")
    return f"{block}.shift" if shift else name.rpartition(".")[0]


def _is_of_a_block(layer: str) -> bool:
    """Return whether a layer tells one backbone from another; stems and first shifts are alike in many."""
    return layer.startswith("backbone.") and not layer.startswith("backbone.stem.") and not layer.endswith(".shift")


def _is_learned(name: str) -> bool:
    """Return whether a tensor is a weight or a statistic; batch-norm's step counter is neither."""
    return not name.endswith("num_batches_tracked")


def _shortest_prefixes(layers: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Name layers by the largest modules that hold none of the others, each once."""
    used = {prefix for layer in others for prefix in _prefixes(layer)}
    return tuple(
        dict.fromkeys(next((prefix for prefix in _prefixes(layer) if prefix not in used), layer) for layer in layers)
    )


def _prefixes(layer: str) -> list[str]:
    parts = layer.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _describe(backbone: BackboneConfig) -> str:
    """The flags of a training that name this backbone."""
    for name, each in BACKBONES.items():
        if replace(each.config, shift=backbone.shift) == backbone:
            return f"--backbone {name}"
    numbers = {"stem-width": (backbone.stem_width,), "widths": backbone.widths, "depths": backbone.depths}
    return " ".join(f"--model.backbone.{flag} {' '.join(map(str, value))}" for flag, value in numbers.items())
