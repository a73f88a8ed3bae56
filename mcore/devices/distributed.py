"""Several processes that train as one: started by ``torchrun``, joined by gloo (CPU) or NCCL (CUDA).

Without ``torchrun`` there is a single process and nothing here talks to anybody. Small objects travel by gloo in
either case; gradients travel by the device's own backend.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from mcore.common.errors import UserError, first_line
from mcore.devices.device import choose_device

Item = TypeVar("Item")

TIMEOUT = timedelta(hours=2)
"""Longest wait for another process; the first decodes the clips while the others wait."""
_LOST_PEER_WORDS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "NCCL",
    "gloo",
    "Timed out waiting",
)
"""Words of the backends' errors about a peer that does not answer any more; gloo's are plain RuntimeErrors."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int = 0
    """Number of this process, from 0."""
    world_size: int = 1
    """Number of processes that train together."""

    @property
    def is_first(self) -> bool:
        """Return whether this one writes files and prints."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of some items: every ``world_size``-th, from ``rank`` on."""
        return items[self.rank :: self.world_size]

    def gather(self, item: Item) -> list[Item]:
        """Every process's item, by rank; all processes must call it.

        Raises:
            UserError: another process has ended.
        """
        if self.world_size == 1:
            return [item]
        items: list[Item | None] = [None] * self.world_size
        with self.lost_peer_errors():
            distributed.all_gather_object(items, item)
        return items  # type: ignore[return-value]  # all of them are filled by now

    def any(self, flag: bool) -> bool:
        """Return whether the flag is up in some process; all processes must call it."""
        return any(self.gather(flag))

    def agree(self, work: Callable[[], Item]) -> Item:
        """Do the same work in all processes, and go on only if it went well in all.

        Raises:
            UserError: the work's own; only the first process that met one raises it, so that it is said once.
            SystemExit: another process says what is wrong.
        """
        result, refused = None, None
        try:
            result = work()
        except UserError as error:
            refused = error
        failed = [rank for rank, bad in enumerate(self.gather(refused is not None)) if bad]
        if refused is not None and failed[0] == self.rank:
            raise refused
        if failed:
            raise SystemExit(2)
        return result  # type: ignore[return-value]  # no error: the work was done

    @contextmanager
    def lost_peer_errors(self) -> Iterator[None]:
        """Turn what the backends say when a peer is gone into an error that a person can act on.

        Raises:
            UserError: another process has ended.
        """
        try:
            yield
        except RuntimeError as error:
            lost = isinstance(error, distributed.DistError) or any(word in str(error) for word in _LOST_PEER_WORDS)
            if self.world_size == 1 or not lost:
                raise
            raise UserError(
                "another process of this training has ended, so this one ends too; its own message says why. The same "
                f"command with --resume goes on from the last save ({first_line(error)})"
            ) from error


SINGLE_PROCESS = Processes()
"""No others to talk to."""


@contextmanager
def joined_processes(device: str) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that ``torchrun`` started, and choose each one's device.

    Args:
        device: ``--device``; with several processes, auto and cuda give each its own GPU of the machine.

    Raises:
        UserError: fewer GPUs than processes, a single GPU named for several processes, or the others cannot be
            reached.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    if world_size == 1:
        yield SINGLE_PROCESS, choose_device(device)
        return
    processes = Processes(int(os.environ["RANK"]), world_size)
    chosen = _own_device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
    try:
        distributed.init_process_group(backend, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"process {processes.rank} cannot join the other processes: {first_line(error)}") from error
    try:
        yield processes, chosen
        with suppress(RuntimeError):  # nobody closes connections that another one still reads
            distributed.barrier()
    finally:
        gc.collect()  # a distributed network in a cycle would outlive its group and abort the process at its end
        distributed.destroy_process_group()


def _own_device(name: str) -> torch.device:
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = choose_device(name)
    if device.type != "cuda":
        return device
    if device.index is not None:
        raise UserError(f"--device {name} is one GPU for several processes; allowed with torchrun: auto, cpu, cuda")
    return choose_device(f"cuda:{local}")
