"""Options of a server that runs the models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mcore.common.errors import UserError
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import Precision

Device = Literal["cpu", "gpu"]
GPU_QUEUE_DELAY_US = 5000


@dataclass(frozen=True)
class TritonOptions:
    """Settings of the model repository.

    Raises:
        UserError: a value that Triton would refuse, or that would make no sense.
    """

    device: Device = "cpu"
    """Device that runs the graphs."""
    precision: Precision | None = None
    """Graphs to serve; default: fp16 for GPUs where the bundle has it, else fp32."""
    max_batch_size: int = 8
    """Most clips that go through the network together."""
    preferred_batch_sizes: tuple[int, ...] = ()
    """Numbers of clips that need not wait for more; default: --max-batch-size only."""
    max_queue_delay_us: int | None = None
    """Microseconds that a clip waits for others to go with, at most; default: 5000 on GPUs, and 0 on CPUs, where a
    batch was measured to take no less time for each clip."""
    max_pairs: int = 64
    """Most pairs of a dive and an exemplar that are compared together."""
    instances: int = 1
    """Copies of each graph that run side by side; on GPUs, on each of them."""
    threads: int | None = None
    """CPU threads of one instance; default: one for each core, which suits a single instance."""

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_pairs", "instances", "max_queue_delay_us", "threads"):
            value, least = getattr(self, name), 0 if name == "max_queue_delay_us" else 1
            if value is not None and value < least:
                raise UserError(f"--{name.replace('_', '-')} is {value}; at least {least}")
        if wrong := [size for size in self.preferred_batch_sizes if not 1 <= size <= self.max_batch_size]:
            raise UserError(
                f"--preferred-batch-sizes has {wrong[0]}; allowed: 1 to --max-batch-size ({self.max_batch_size})"
            )

    @property
    def queue_delay_us(self) -> int:
        """Longest wait for other clips, microseconds."""
        if self.max_queue_delay_us is not None:
            return self.max_queue_delay_us
        return GPU_QUEUE_DELAY_US if self.device == "gpu" else 0

    def chosen_precision(self, bundle: Bundle) -> Precision:
        """Return whose graphs are served."""
        return self.precision or ("fp16" if self.device == "gpu" and "fp16" in bundle.manifest.variants else "fp32")
