"""``Cuda`` by pycuda, which is built where it is installed and comes with none of CUDA's libraries.

pycuda has no CUDA graphs (2026.1 neither), so nothing is captured with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from numpy.typing import DTypeLike, NDArray


class PyCuda:
    """See ``Cuda``.

    Args:
        driver: the module ``pycuda.driver``.

    Raises:
        Exception: pycuda's own, where there is no GPU.
    """

    name = "pycuda"

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.errors: tuple[type[Exception], ...] = (driver.Error,)
        self._frees: list[Callable[[], Any]] = []
        driver.init()
        device = driver.Device(0)
        self.device = str(device.name())
        major, minor = device.compute_capability()
        self.target = f"sm{major}{minor}"
        self._context = device.retain_primary_context()
        try:
            with self.active():
                self._stream = driver.Stream()
        except BaseException:
            self._context.detach()
            raise
        self.stream = int(self._stream.handle)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the primary context current for a block."""
        self._context.push()
        try:
            yield
        finally:
            self._driver.Context.pop()

    def allocate(self, num_bytes: int) -> int:
        """Return the address of new memory on the GPU."""
        memory = self._driver.mem_alloc(num_bytes)
        self._frees.append(memory.free)
        return int(memory)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array in page-locked memory."""
        array: NDArray[Any] = self._driver.pagelocked_empty(shape, dtype)
        memory: Any = array.base
        self._frees.append(memory.free)
        return array

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Queue the copy of a pinned array to the GPU."""
        self._driver.memcpy_htod_async(address, array, self._stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Queue the copy from the GPU into a pinned array."""
        self._driver.memcpy_dtoh_async(array, address, self._stream)

    def synchronise(self) -> None:
        """Wait until everything on the stream is done."""
        self._stream.synchronize()

    def capture(self, enqueue: Callable[[], bool]) -> Callable[[], None] | None:
        """Record nothing: pycuda has no CUDA graphs."""
        return None

    def close(self) -> None:
        """Free all memory and let go of the context."""
        if self._context is None:
            return
        # A GPU that failed fails every call from then on, and this close may already be because of that.
        with suppress(*self.errors), self.active():
            self.synchronise()
            while self._frees:
                self._frees.pop()()
            self._stream = None  # pycuda destroys it with its last reference
        context, self._context = self._context, None
        context.detach()
