"""Batches of pairs divided among processes that together see each dive once an epoch, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator

from mcore.data.dataset import EpochBatches
from mcore.devices.distributed import ALONE, Processes


class SharedBatches(EpochBatches):
    """One process's share of each batch; ``batch_size`` counts the pairs of all processes together."""

    def __init__(self, num_items: int, batch_size: int, seed: int, processes: Processes = ALONE) -> None:
        super().__init__(num_items, batch_size, seed)
        self.processes = processes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for keys in super().__iter__():
            # A process must make every step; where a short batch has no pair for it, it gets one not to be counted.
            yield list(self.processes.share(keys)) or keys[:1]

    def pairs_in_step(self, step: int) -> int:
        """Pairs of a step of an epoch in all processes together; the last step may have fewer."""
        return min(self.batch_size, self.num_items - step * self.batch_size)
