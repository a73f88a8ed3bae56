"""A GPU of NumPy arrays, which ``fake_drivers`` reaches.

Strict where a real one is silent: copies and launches happen only when the stream is waited for, memory that was not
allocated is an error, so is a call without a current context, and whatever was not freed can be counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Work = Callable[[], None]


class FakeGpu:
    """Memory, contexts and streams."""

    def __init__(self, capability: tuple[int, int] = (8, 7), name: str = "Orin") -> None:
        self.capability, self.name = capability, name
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.pinned: dict[int, NDArray[np.uint8]] = {}
        self.streams: dict[int, FakeStream] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.retained = 0
        self.allocations = 0
        self.launches = 0
        self.bytes_left: int | None = None
        self.is_lost = False
        self._current = threading.local()
        self._next_handle = 0x7000_0000

    @property
    def target(self) -> str:
        return "sm{}{}".format(*self.capability)

    def leaks(self) -> dict[str, int]:
        """What is still held, by kind; empty if all was freed."""
        held = {
            "memory": len(self.memory),
            "pinned": len(self.pinned),
            "streams": len(self.streams),
            "graphs": len(self.graphs),
            "contexts": self.retained,
            "current": len(self._stack),
        }
        return {kind: count for kind, count in held.items() if count}

    @property
    def _stack(self) -> list[str]:
        stack: list[str] = self._current.__dict__.setdefault("stack", [])
        return stack

    def push(self) -> None:
        assert self.retained, "the context was released"
        self._stack.append("primary")

    def pop(self) -> None:
        self._stack.pop()

    def has_context(self) -> bool:
        return bool(self._stack)

    def require_context(self) -> None:
        assert self._stack, "no CUDA context is current in this thread"

    def handle(self) -> int:
        self._next_handle += 0x1000
        return self._next_handle

    def allocate(self, num_bytes: int) -> int:
        self.require_context()
        if self.bytes_left is not None:
            self.bytes_left -= num_bytes
            if self.bytes_left < 0:
                raise MemoryError("out of memory")
        address = self.handle()  # aligned as the real ones are
        self._next_handle += -(-num_bytes // 256) * 256
        self.memory[address] = np.full(num_bytes, 0xAB, np.uint8)  # as good as any garbage
        self.allocations += 1
        return address

    def free(self, address: int) -> None:
        self.require_context()
        del self.memory[address]

    def device_bytes(self, address: int, num_bytes: int) -> NDArray[np.uint8]:
        """Memory on the GPU; an AssertionError where it is not allocated."""
        return _part(self.memory, address, num_bytes, f"illegal memory access: {num_bytes} bytes at {address:#x}")

    def allocate_pinned(self, num_bytes: int) -> NDArray[np.uint8]:
        self.require_context()
        array = np.full(num_bytes, 0xCD, np.uint8)
        self.pinned[array.ctypes.data] = array
        self.allocations += 1
        return array

    def free_pinned(self, address: int) -> None:
        self.require_context()
        del self.pinned[address]

    def upload(self, address: int, host: int, num_bytes: int, stream: int) -> None:
        source, target = self._ends(host, address, num_bytes)
        self.streams[stream].put(lambda: np.copyto(target, source))

    def download(self, host: int, address: int, num_bytes: int, stream: int) -> None:
        target, source = self._ends(host, address, num_bytes)
        self.streams[stream].put(lambda: np.copyto(target, source))

    def _ends(self, host: int, address: int, num_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Both ends of a copy: page-locked memory, and memory on the GPU."""
        self.require_context()
        pinned = _part(self.pinned, host, num_bytes, "an asynchronous copy needs page-locked memory")
        return pinned, self.device_bytes(address, num_bytes)


def _part(memories: dict[int, NDArray[np.uint8]], address: int, num_bytes: int, fault: str) -> NDArray[np.uint8]:
    for start, memory in memories.items():
        if start <= address and address + num_bytes <= start + len(memory):
            return memory[address - start : address - start + num_bytes]
    raise AssertionError(fault)


class FakeStream:
    """A queue of work, done when somebody waits for it."""

    def __init__(self) -> None:
        self._work: list[Work] = []
        self.captured: list[Work] | None = None
        self.is_capture_valid = True

    def put(self, work: Work) -> None:
        (self._work if self.captured is None else self.captured).append(work)

    def synchronise(self) -> None:
        assert self.captured is None, "a stream that is captured cannot be waited for"
        work, self._work = self._work, []
        for piece in work:
            piece()
