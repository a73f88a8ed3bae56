"""The spotter: a small network that tells, picture by picture, when a diver leaves a board and meets the water.

It sees what changes in the picture. Convolutions see a body in it, and how it moves since the picture before; a
convolution over the last pictures and a GRU see it rise and fall. What it says of a picture it says ``SPOTTER_DELAY``
pictures later.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mcore.video.spotting import LOOKS_BACK, SPOTTER_SHIFTED, SPOTTER_SPAN

OUTPUTS = ("takeoff", "entry", "flight")
_WIDTHS = (16, 24, 32, 48)
_KERNELS = (5, 3, 3, 3)
_ROWS_LEFT = 7
"""Rows after four convolutions of stride 2, of 100."""
_MEMORY = 64


class Spotter(nn.Module):
    """Convolutions over the changes in a picture, one over the last pictures, a GRU over all."""

    def __init__(self) -> None:
        super().__init__()
        self.keeps_norms = False
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, width, kernel, stride=2, padding=kernel // 2, bias=False)
            for before, width, kernel in zip((len(LOOKS_BACK), *_WIDTHS), _WIDTHS, _KERNELS, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in _WIDTHS)
        self.embed = nn.Linear(2 * _WIDTHS[-1] * _ROWS_LEFT, _MEMORY)
        self.dropout = nn.Dropout(0.2)
        self.over_time = nn.Conv1d(_MEMORY, _MEMORY, SPOTTER_SPAN, bias=False)
        self.over_time_norm = nn.BatchNorm1d(_MEMORY)
        self.remember = nn.GRU(_MEMORY + 2, _MEMORY, batch_first=True)
        self.tell = nn.Linear(_MEMORY, len(OUTPUTS))

    def forward(self, changes: Tensor, shifts: Tensor) -> Tensor:
        """Look at pictures in order, the first ones of a stream.

        Args:
            changes: (B, T, looks back, ROWS, COLUMNS) from ``mcore.video.spotting.changes``.
            shifts: (B, T, 2) from ``scaled_shift``.

        Returns:
            (B, T, outputs) logits of the picture ``SPOTTER_DELAY`` before.
        """
        batch, pictures = changes.shape[:2]
        x = changes.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if index in SPOTTER_SHIFTED:
                x = _see_last(x.unflatten(0, (batch, pictures))).flatten(0, 1)
            x = torch.relu(norm(convolution(x)))
        # Where in the width a body falls does not matter: (B * T, 2 * C * rows left).
        x = torch.cat([x.amax(3), x.mean(3)], 1).flatten(1)
        x = self.dropout(torch.relu(self.embed(x))).unflatten(0, (batch, pictures)).transpose(1, 2)
        x = self.over_time(functional.pad(x, (SPOTTER_SPAN - 1, 0)))
        x = torch.relu(self.over_time_norm(x)).transpose(1, 2)
        x, _ = self.remember(torch.cat([x, shifts.to(x.dtype)], 2))
        logits: Tensor = self.tell(x)
        return logits

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.floating]]) -> Spotter:
        """Return a network with the weights that ``arrays`` gave.

        Its normalisations were folded into the kernels. They are left as a gain and an offset of each channel, and stay
        so in training: what they divided by is not known any more.

        Raises:
            ValueError: these are other weights, or not all.
        """
        network = cls()
        state = network.state_dict()
        norms = {f"convolutions.{index}.bias": f"norms.{index}" for index in range(len(_WIDTHS))}
        norms["over_time.bias"] = "over_time_norm"
        try:
            for name, array in arrays.items():
                key = f"{norms[name]}.bias" if name in norms else name
                state[key] = torch.from_numpy(array.astype(np.float32)).reshape(state[key].shape)
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{error}") from error
        if missing := network.arrays().keys() - arrays.keys():
            raise ValueError(f"there is no {min(missing)}")
        network.load_state_dict(state)
        for norm in (*network.norms, network.over_time_norm):
            assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
            norm.running_var = torch.full_like(norm.bias, 1 - norm.eps)
        network.keeps_norms = True
        return network

    def train(self, mode: bool = True) -> Spotter:
        """Set the mode; normalisations of weights that were read stay as they are."""
        super().train(mode)
        if self.keeps_norms:
            for norm in (*self.norms, self.over_time_norm):
                norm.eval()
        return self

    def arrays(self) -> dict[str, NDArray[np.float16]]:
        """Return the weights by name, in half precision, as the runtime takes them: normalisation is in the kernels."""
        kept = {
            name: value for name, value in self.state_dict().items() if name.startswith(("embed", "remember", "tell"))
        }
        names = [f"convolutions.{index}" for index in range(len(_WIDTHS))]
        parts = zip([*names, "over_time"], [*self.convolutions, self.over_time], [*self.norms, self.over_time_norm],
                    strict=True)  # fmt: skip
        for name, convolution, norm in parts:
            gain, kept[f"{name}.bias"] = _affine(norm)
            assert isinstance(convolution, nn.Conv1d | nn.Conv2d)
            kept[f"{name}.weight"] = convolution.weight * gain.reshape(-1, *[1] * (convolution.weight.ndim - 1))
        return {name: value.detach().numpy().astype(np.float16) for name, value in kept.items()}


def _see_last(x: Tensor) -> Tensor:
    """Replace the first quarter of the channels (B, T, C, H, W) by those of the picture before."""
    quarter = x.shape[2] // 4
    before = functional.pad(x[:, :-1, :quarter], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([before, x[:, :, quarter:]], 2)


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """What a trained normalisation multiplies each channel by, and adds to it."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain
