"""Memory layout, compute dtype, compilation and activation checkpointing of a network in training."""

from __future__ import annotations

import torch

from mcore.common.errors import UserError, first_line
from mcore.network.model import MCoRe
from mcore.training.config import ComputeConfig

DTYPES: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Compute dtype of the backbone by its name; None is the weights' own."""


def prepare_network(model: MCoRe, compute: ComputeConfig, device: torch.device) -> None:
    """Move a network to its device and set how its backbone computes in training; weights keep their names.

    Raises:
        UserError: the device has no bf16, or torch.compile does not work here.
    """
    if compute.precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UserError(f"{torch.cuda.get_device_name(device)} has no bf16; allowed: --precision fp32 or fp16")
    layout = torch.channels_last if compute.channels_last else torch.contiguous_format
    model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    model.backbone.training_dtype = DTYPES[compute.precision]
    model.backbone.activation_checkpointing = compute.activation_checkpointing
    if compute.compile:
        check_compiler(device)
        model.backbone.compile()


def check_compiler(device: torch.device) -> None:
    """Compile and run one addition, so that a missing compiler is known before the first step.

    Raises:
        UserError: torch.compile does not work on this device.
    """
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # the compiler, Triton and the linker each have errors of their own
        needed = "Triton" if device.type == "cuda" else "a C++ compiler (g++ or clang++, or CXX=...)"
        raise UserError(
            f"--compile does not work on {device.type}: {first_line(error)}. It needs {needed}; train without it"
        ) from error
