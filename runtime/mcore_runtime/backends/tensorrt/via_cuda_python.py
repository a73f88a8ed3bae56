"""``Cuda`` by NVIDIA's cuda-python, whose wheels install everywhere and fail catchably where there is no driver."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mcore_runtime.backends.tensorrt.devices import CudaError


class CudaPython:
    """See ``Cuda``.

    Args:
        driver: the module ``cuda.bindings.driver``.

    Raises:
        CudaError: there is no GPU.
        RuntimeError: there is no driver.
    """

    name = "cuda-python"
    errors: tuple[type[Exception], ...] = (CudaError,)

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._frees: list[Callable[[], Any]] = []
        self._call("cuInit", 0)
        self._device = self._call("cuDeviceGet", 0)
        self.device = self._call("cuDeviceGetName", 256, self._device).split(b"\0")[0].decode(errors="replace")
        attribute = driver.CUdevice_attribute
        major = self._call("cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, self._device)
        minor = self._call("cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, self._device)
        self.target = f"sm{major}{minor}"
        self._context = self._call("cuDevicePrimaryCtxRetain", self._device)
        try:
            with self.active():
                stream = self._call("cuStreamCreate", driver.CUstream_flags.CU_STREAM_NON_BLOCKING.value)
        except BaseException:
            self._call("cuDevicePrimaryCtxRelease", self._device)
            raise
        self._stream = stream
        self._frees.append(lambda: self._call("cuStreamDestroy", stream))
        self.stream = int(stream)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the primary context current for a block."""
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent")

    def allocate(self, num_bytes: int) -> int:
        """Return the address of new memory on the GPU."""
        address = self._call("cuMemAlloc", num_bytes)
        self._frees.append(lambda: self._call("cuMemFree", address))
        return int(address)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array in page-locked memory."""
        num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = int(self._call("cuMemHostAlloc", num_bytes, 0))
        self._frees.append(lambda: self._call("cuMemFreeHost", address))
        memory = (ctypes.c_byte * num_bytes).from_address(address)
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Queue the copy of a pinned array to the GPU."""
        self._call("cuMemcpyHtoDAsync", address, array.ctypes.data, array.nbytes, self._stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Queue the copy from the GPU into a pinned array."""
        self._call("cuMemcpyDtoHAsync", array.ctypes.data, address, array.nbytes, self._stream)

    def synchronise(self) -> None:
        """Wait until everything on the stream is done."""
        self._call("cuStreamSynchronize", self._stream)

    def capture(self, enqueue: Callable[[], bool]) -> Callable[[], None] | None:
        """Record a CUDA graph; None where the driver says that something in it cannot be recorded."""
        # Other threads may go on using the GPU meanwhile.
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", self._stream, mode)
        recorded = False
        try:
            recorded = enqueue()
        finally:  # an invalid capture ends with an error, and leaves the stream usable
            error, graph = self._driver.cuStreamEndCapture(self._stream)
        if not recorded or error != self._driver.CUresult.CUDA_SUCCESS:
            if error == self._driver.CUresult.CUDA_SUCCESS:
                self._call("cuGraphDestroy", graph)
            return None
        try:
            ready = self._call("cuGraphInstantiate", graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)
        self._frees.append(lambda: self._call("cuGraphExecDestroy", ready))
        return lambda: self._call("cuGraphLaunch", ready, self._stream)

    def close(self) -> None:
        """Free all memory and let go of the context."""
        if self._context is None:
            return
        # A GPU that failed fails every call from then on, and this close may already be because of that.
        with suppress(CudaError), self.active():
            self.synchronise()
            while self._frees:
                self._frees.pop()()
        self._context = None
        with suppress(CudaError):
            self._call("cuDevicePrimaryCtxRelease", self._device)

    def _call(self, function: str, *arguments: Any) -> Any:
        """Call the driver: it returns (error, value), or (error,)."""
        error, *values = getattr(self._driver, function)(*arguments)
        if error != self._driver.CUresult.CUDA_SUCCESS:
            raise CudaError(f"{function}: {error.name}")
        return values[0] if values else None
