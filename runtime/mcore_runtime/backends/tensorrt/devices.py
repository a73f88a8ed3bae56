"""What running an engine needs of CUDA, behind one protocol: pycuda where it is installed, else cuda-python.

TensorRT uses the CUDA runtime, and with it the device's primary context; so does everything here. pycuda's
``autoinit`` makes a context of its own, in which engines fail (pycuda#242, TensorRT#2357): it is never imported.

Example:
    >>> cuda = open_cuda("Run on the CPU")
    >>> cuda.target, cuda.device
    ('sm87', 'Orin')
    >>> cuda.close()
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

from mcore.common.errors import MissingDependencyError, first_line
from mcore_runtime.backends.base import BackendError


class CudaError(Exception):
    """A call of CUDA failed, such as for want of memory."""


class Cuda(Protocol):
    """One GPU, one stream, and memory that lives until ``close``; for the thread that opened it.

    Every call but ``close`` belongs inside ``active``. Copies are queued on the stream: arrays may be changed, and
    results read, only after ``synchronise``.
    """

    @property
    def name(self) -> str:
        """Package behind it: ``pycuda`` or ``cuda-python``."""

    @property
    def device(self) -> str:
        """The GPU's name."""

    @property
    def target(self) -> str:
        """The GPU's architecture, such as ``sm87`` for compute capability 8.7."""

    @property
    def stream(self) -> int:
        """Handle of the stream."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What its calls raise where CUDA fails, such as for want of memory."""

    def active(self) -> AbstractContextManager[None]:
        """Make the primary context current for a block, and restore what was."""

    def allocate(self, num_bytes: int) -> int:
        """Return the address of new memory on the GPU."""

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array in page-locked memory, which the GPU copies without a detour."""

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Queue the copy of a pinned, contiguous array to the GPU."""

    def download(self, array: NDArray[Any], address: int) -> None:
        """Queue the copy from the GPU into a pinned, contiguous array."""

    def synchronise(self) -> None:
        """Wait until everything on the stream is done."""

    def capture(self, enqueue: Callable[[], bool]) -> Callable[[], None] | None:
        """Record what ``enqueue`` puts on the stream, and return what queues all of it again in one call.

        None: it cannot be recorded; the stream is as it was.
        """

    def close(self) -> None:
        """Free all memory and let go of the context."""


def open_cuda(otherwise: str) -> Cuda:
    """Open the first GPU that CUDA shows (``CUDA_VISIBLE_DEVICES`` chooses among several).

    Args:
        otherwise: what to do where there is none: the end of the message.

    Raises:
        MissingDependencyError: neither pycuda nor cuda-python is installed.
        BackendError: no driver, or no GPU.
    """
    from mcore_runtime.backends.tensorrt.via_cuda_python import CudaPython
    from mcore_runtime.backends.tensorrt.via_pycuda import PyCuda

    makers: tuple[tuple[str, Callable[[Any], Cuda]], ...] = (
        ("pycuda.driver", PyCuda),
        ("cuda.bindings.driver", CudaPython),
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
        "pip install 'mcore-edge[tensorrt]', or where there is no CUDA toolkit: pip install cuda-python"
    )


def find_gpu(otherwise: str) -> tuple[str, str]:
    """Return architecture and name of this machine's GPU, such as ``("sm87", "Orin")``.

    Args:
        otherwise: what to do where there is none: the end of the message.

    Raises:
        MissingDependencyError: neither pycuda nor cuda-python is installed.
        BackendError: no driver, or no GPU.
    """
    cuda = open_cuda(otherwise)
    try:
        return cuda.target, cuda.device
    finally:
        cuda.close()
