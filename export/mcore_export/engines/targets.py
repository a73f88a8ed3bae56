"""GPU architectures that engines are built for, and the check that this machine can build them."""

from __future__ import annotations

from mcore.common.errors import UserError
from mcore_runtime.backends.base import BackendError
from mcore_runtime.backends.tensorrt.devices import find_gpu
from mcore_runtime.backends.tensorrt.flavours import Flavour


def resolve_target(flavour: Flavour, target: str | None) -> tuple[str, str | None]:
    """Turn a wish into an architecture that the library can build for here.

    Args:
        flavour: the library.
        target: such as ``sm89``; None: this machine's GPU.

    Returns:
        The architecture; and TensorRT-RTX's name of it, None where the library builds for the GPU it finds.

    Raises:
        BackendError: this machine has no GPU, or not that one.
        UserError: no such architecture.
    """
    target = None if target is None else target.lower()
    if flavour.api.ahead_of_time:
        target = target or _this_gpu(flavour)[0]
        if target not in flavour.targets():
            raise UserError(
                f"{flavour.title} does not build for {target}; it knows {', '.join(flavour.targets())}. For other "
                "GPUs use TensorRT, on the machine that has one"
            )
        return target, target.upper()
    here, name = _this_gpu(flavour)
    if target not in (None, here):
        raise BackendError(
            f"{flavour.title} chooses kernels by timing them, so it builds only for the GPU it runs on, here {name} "
            f"({here}), not for {target}. Run the same command on that device; or build ahead of time for GeForce "
            "and RTX GPUs with: mcore-bundle engine BUNDLE --kind tensorrt-rtx"
        )
    return here, None


def _this_gpu(flavour: Flavour) -> tuple[str, str]:
    if flavour.api.ahead_of_time:
        return find_gpu(f"Say which GPU to build for: --target {'|'.join(flavour.targets())}")
    return find_gpu(
        f"{flavour.title} builds on the GPU that will run the engine: run the command there, which needs no torch; or "
        "build ahead of time for GeForce and RTX GPUs with: mcore-bundle engine BUNDLE --kind tensorrt-rtx --target "
        "sm89"
    )
