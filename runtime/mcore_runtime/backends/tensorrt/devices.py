"""The part of CUDA that engines need: pycuda where it is installed, else cuda-python.

TensorRT uses the CUDA runtime, and with it the device's primary context; so does everything here. pycuda's
``autoinit`` makes a context of its own, in which engines fail (pycuda#242, TensorRT#2357): it is never imported.

Example:
    >>> cuda = open_cuda("Run on the CPU")
    >>> cuda.target, cuda.device
    ('sm87', 'Orin')
    >>> cuda.close()
"""

from __future__ import annotations

import ctypes
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mcore.common.errors import MissingDependencyError, first_line
from mcore.common.optional import has_jetson_kernel, install_command
from mcore_runtime.backends.base import BackendError

_WITHOUT_TOOLKIT = (
    ", or where there is no CUDA toolkit: pip install cuda-python ('cuda-python<13' for a driver older than 580)"
)


class CudaError(Exception):
    """A call of CUDA failed, such as for want of memory."""


class Cuda(ABC):
    """One GPU, one stream, and memory that lives until ``close``; for the thread that opened it.

    Every call but ``close`` belongs inside ``active``. Copies are queued on the stream: arrays may be changed, and
    results read, only after ``synchronise``.
    """

    name: str
    """Package behind it: ``pycuda`` or ``cuda-python``."""
    device: str
    """The GPU's name."""
    target: str
    """The GPU's architecture, such as ``sm87`` for compute capability 8.7."""
    stream: int
    """Handle of the stream."""
    errors: tuple[type[Exception], ...]
    """Exceptions that its calls raise where CUDA fails, such as for want of memory."""

    def __init__(self) -> None:
        self._frees: list[Callable[[], object]] = []
        """What gives back memory, graphs and the stream; called from the last to the first."""
        self._is_open = True

    @abstractmethod
    def active(self) -> AbstractContextManager[None]:
        """Make the primary context current for a block, and restore what was."""

    @abstractmethod
    def allocate(self, num_bytes: int) -> int:
        """Return the address of new memory on the GPU."""

    @abstractmethod
    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array in page-locked memory, which the GPU copies without a detour."""

    @abstractmethod
    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Queue the copy of a pinned, contiguous array to the GPU."""

    @abstractmethod
    def download(self, array: NDArray[Any], address: int) -> None:
        """Queue the copy from the GPU into a pinned, contiguous array."""

    @abstractmethod
    def synchronise(self) -> None:
        """Wait until everything on the stream is done."""

    @abstractmethod
    def capture(self, enqueue: Callable[[], bool]) -> Callable[[], None] | None:
        """Record what ``enqueue`` puts on the stream, and return what queues all of it again in one call.

        None: it cannot be recorded; the stream is as it was.
        """

    def close(self) -> None:
        """Free all memory and let go of the context; doing so twice is harmless."""
        if not self._is_open:
            return
        self._is_open = False
        # A GPU that failed fails every call from then on, and this close may already be because of that.
        with suppress(*self.errors), self.active():
            self.synchronise()
            while self._frees:
                self._frees.pop()()
        with suppress(*self.errors):
            self._release_context()

    @abstractmethod
    def _release_context(self) -> None:
        """Let go of the primary context."""


class _CudaPython(Cuda):
    """NVIDIA's cuda-python: its wheels install everywhere, and fail catchably where there is no driver.

    Args:
        driver: the module ``cuda.bindings.driver``; every call of it returns (error, value) or (error,).
    """

    name = "cuda-python"
    errors = (CudaError,)

    def __init__(self, driver: Any) -> None:
        super().__init__()
        self._driver = driver
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
            self._release_context()
            raise
        self._stream = stream
        self._frees.append(lambda: self._call("cuStreamDestroy", stream))
        self.stream = int(stream)

    @contextmanager
    def active(self) -> Iterator[None]:
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent")

    def allocate(self, num_bytes: int) -> int:
        address = self._call("cuMemAlloc", num_bytes)
        self._frees.append(lambda: self._call("cuMemFree", address))
        return int(address)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = int(self._call("cuMemHostAlloc", num_bytes, 0))
        self._frees.append(lambda: self._call("cuMemFreeHost", address))
        memory = (ctypes.c_byte * num_bytes).from_address(address)
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def upload(self, address: int, array: NDArray[Any]) -> None:
        self._call("cuMemcpyHtoDAsync", address, array.ctypes.data, array.nbytes, self._stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        self._call("cuMemcpyDtoHAsync", array.ctypes.data, address, array.nbytes, self._stream)

    def synchronise(self) -> None:
        self._call("cuStreamSynchronize", self._stream)

    def capture(self, enqueue: Callable[[], bool]) -> Callable[[], None] | None:
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

    def _release_context(self) -> None:
        self._call("cuDevicePrimaryCtxRelease", self._device)

    def _call(self, function: str, *arguments: Any) -> Any:
        error, *values = getattr(self._driver, function)(*arguments)
        if error != self._driver.CUresult.CUDA_SUCCESS:
            raise CudaError(f"{function}: {error.name}")
        return values[0] if values else None


class _PyCuda(Cuda):
    """pycuda: it is built where it is installed, and comes with none of CUDA's libraries.

    Args:
        driver: the module ``pycuda.driver``.
    """

    name = "pycuda"

    def __init__(self, driver: Any) -> None:
        super().__init__()
        self._driver = driver
        self.errors = (driver.Error,)
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
            self._release_context()
            raise
        self._frees.append(lambda: delattr(self, "_stream"))  # pycuda destroys it with its last reference
        self.stream = int(self._stream.handle)

    @contextmanager
    def active(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            self._driver.Context.pop()

    def allocate(self, num_bytes: int) -> int:
        memory = self._driver.mem_alloc(num_bytes)
        self._frees.append(memory.free)
        return int(memory)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        array: NDArray[Any] = self._driver.pagelocked_empty(shape, dtype)
        memory: Any = array.base
        self._frees.append(memory.free)
        return array

    def upload(self, address: int, array: NDArray[Any]) -> None:
        self._driver.memcpy_htod_async(address, array, self._stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        self._driver.memcpy_dtoh_async(array, address, self._stream)

    def synchronise(self) -> None:
        self._stream.synchronize()

    def capture(self, enqueue: Callable[[], bool]) -> Callable[[], None] | None:
        return None  # pycuda has no CUDA graphs, 2026.1 neither

    def _release_context(self) -> None:
        self._context.detach()


def open_cuda(otherwise: str) -> Cuda:
    """Open the first GPU that CUDA shows (``CUDA_VISIBLE_DEVICES`` chooses among several).

    Args:
        otherwise: what to do where there is none: the end of the message.

    Raises:
        MissingDependencyError: neither pycuda nor cuda-python is installed.
        BackendError: no driver, or no GPU.
    """
    makers: tuple[tuple[str, Callable[[Any], Cuda]], ...] = (
        ("pycuda.driver", _PyCuda),
        ("cuda.bindings.driver", _CudaPython),
    )
    missing = []
    for module, make in makers:
        try:
            driver = importlib.import_module(module)
        except (ImportError, OSError) as error:  # pycuda is linked to the driver, which may be missing
            missing.append(f"{module.partition('.')[0]}: {first_line(error)}")
            continue
        try:
            return make(driver)
        except Exception as error:  # each package has exceptions of its own
            raise BackendError(
                f"there is no GPU with a driver here that CUDA can use ({first_line(error)}). {otherwise}"
            ) from error
    raise MissingDependencyError(
        f"TensorRT needs pycuda or cuda-python to reach the GPU ({'; '.join(missing)}). Install it with: "
        f"{install_command('tensorrt')}{'' if has_jetson_kernel() else _WITHOUT_TOOLKIT}"
    )


def find_gpu(otherwise: str) -> tuple[str, str]:
    """Return architecture and name of this machine's GPU, such as ``("sm87", "Orin")``; raises as ``open_cuda``."""
    cuda = open_cuda(otherwise)
    try:
        return cuda.target, cuda.device
    finally:
        cuda.close()
