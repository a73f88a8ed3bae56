"""Stand-ins of ``pycuda.driver`` and of cuda-python's driver module, on a fake GPU."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.runtime.fake_gpu import FakeGpu, FakeStream


class _Result(enum.Enum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_LAUNCH_FAILED = 719
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class _Attribute(enum.Enum):
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76


class _StreamFlags(enum.Enum):
    CU_STREAM_NON_BLOCKING = 1


class _CaptureMode(enum.Enum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


_OK = _Result.CUDA_SUCCESS


class _Driver:
    """A driver of a machine with a GPU, or without one."""

    def __init__(self, gpu: FakeGpu | None) -> None:
        self._gpu_or_none = gpu

    @property
    def _gpu(self) -> FakeGpu:
        assert self._gpu_or_none is not None
        return self._gpu_or_none


class FakeCudaPython(_Driver):
    """``cuda.bindings.driver`` on a fake GPU: every call returns (error, value) or (error,)."""

    CUresult, CUdevice_attribute = _Result, _Attribute
    CUstream_flags, CUstreamCaptureMode = _StreamFlags, _CaptureMode

    def cuInit(self, flags: int) -> tuple[_Result]:
        return (_OK if self._gpu_or_none else _Result.CUDA_ERROR_NO_DEVICE,)

    def cuDeviceGet(self, ordinal: int) -> tuple[_Result, int]:
        return _OK, ordinal

    def cuDeviceGetName(self, length: int, device: int) -> tuple[_Result, bytes]:
        return _OK, self._gpu.name.encode().ljust(length, b"\0")

    def cuDeviceGetAttribute(self, attribute: _Attribute, device: int) -> tuple[_Result, int]:
        return _OK, self._gpu.capability[attribute.value - 75]

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[_Result, str]:
        self._gpu.retained += 1
        return _OK, "primary"

    def cuDevicePrimaryCtxRelease(self, device: int) -> tuple[_Result]:
        self._gpu.retained -= 1
        return (_OK,)

    def cuCtxPushCurrent(self, context: str) -> tuple[_Result]:
        assert context == "primary"
        self._gpu.push()
        return (_OK,)

    def cuCtxPopCurrent(self) -> tuple[_Result, str]:
        self._gpu.pop()
        return _OK, "primary"

    def cuStreamCreate(self, flags: int) -> tuple[_Result, int]:
        self._gpu.require_context()
        handle = self._gpu.handle()
        self._gpu.streams[handle] = FakeStream()
        return _OK, handle

    def cuStreamDestroy(self, stream: int) -> tuple[_Result]:
        self._gpu.require_context()
        del self._gpu.streams[stream]
        return (_OK,)

    def cuStreamSynchronize(self, stream: int) -> tuple[_Result]:
        self._gpu.require_context()
        if self._gpu.is_lost:
            return (_Result.CUDA_ERROR_LAUNCH_FAILED,)
        self._gpu.streams[stream].synchronise()
        return (_OK,)

    def cuMemAlloc(self, num_bytes: int) -> tuple[_Result, int]:
        try:
            return _OK, self._gpu.allocate(num_bytes)
        except MemoryError:
            return _Result.CUDA_ERROR_OUT_OF_MEMORY, 0

    def cuMemFree(self, address: int) -> tuple[_Result]:
        self._gpu.free(address)
        return (_OK,)

    def cuMemHostAlloc(self, num_bytes: int, flags: int) -> tuple[_Result, int]:
        return _OK, self._gpu.allocate_pinned(num_bytes).ctypes.data

    def cuMemFreeHost(self, address: int) -> tuple[_Result]:
        self._gpu.free_pinned(address)
        return (_OK,)

    def cuMemcpyHtoDAsync(self, address: int, host: int, num_bytes: int, stream: int) -> tuple[_Result]:
        self._gpu.upload(address, host, num_bytes, stream)
        return (_OK,)

    def cuMemcpyDtoHAsync(self, host: int, address: int, num_bytes: int, stream: int) -> tuple[_Result]:
        self._gpu.download(host, address, num_bytes, stream)
        return (_OK,)

    def cuStreamBeginCapture(self, stream: int, mode: _CaptureMode) -> tuple[_Result]:
        self._gpu.require_context()
        self._gpu.streams[stream].captured = []
        self._gpu.streams[stream].is_capture_valid = True
        return (_OK,)

    def cuStreamEndCapture(self, stream: int) -> tuple[_Result, int]:
        queue = self._gpu.streams[stream]
        assert queue.captured is not None
        work, queue.captured = queue.captured, None
        if not queue.is_capture_valid:
            return _Result.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 0
        handle = self._gpu.handle()
        self._gpu.graphs[handle] = work
        return _OK, handle

    def cuGraphInstantiate(self, graph: int, flags: int) -> tuple[_Result, int]:
        handle = self._gpu.handle()
        self._gpu.graphs[handle] = self._gpu.graphs[graph]
        return _OK, handle

    def cuGraphDestroy(self, graph: int) -> tuple[_Result]:
        del self._gpu.graphs[graph]
        return (_OK,)

    def cuGraphExecDestroy(self, graph: int) -> tuple[_Result]:
        del self._gpu.graphs[graph]
        return (_OK,)

    def cuGraphLaunch(self, graph: int, stream: int) -> tuple[_Result]:
        self._gpu.require_context()
        self._gpu.launches += 1
        for work in self._gpu.graphs[graph]:
            self._gpu.streams[stream].put(work)
        return (_OK,)


class FakePyCuda(_Driver):
    """``pycuda.driver`` on a fake GPU: objects that own things, and exceptions."""

    class Error(Exception):
        pass

    def __init__(self, gpu: FakeGpu | None) -> None:
        super().__init__(gpu)
        self.Context = SimpleNamespace(pop=lambda: self._gpu.pop())

    def init(self) -> None:
        if self._gpu_or_none is None:
            raise self.Error("cuInit failed: no CUDA-capable device is detected")

    def Device(self, ordinal: int) -> Any:
        def retain() -> Any:
            self._gpu.retained += 1
            return SimpleNamespace(push=self._gpu.push, detach=self._release)

        return SimpleNamespace(
            name=lambda: self._gpu.name,
            compute_capability=lambda: self._gpu.capability,
            retain_primary_context=retain,
        )

    def Stream(self, flags: int = 0) -> Any:
        return _Stream(self._gpu)

    def mem_alloc(self, num_bytes: int) -> Any:
        try:
            return _Allocation(self._gpu, self._gpu.allocate(num_bytes))
        except MemoryError as error:
            raise self.Error("cuMemAlloc failed: out of memory") from error

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
        return np.asarray(_PinnedMemory(self._gpu, shape, np.dtype(dtype)))

    def memcpy_htod_async(self, dest: int, src: NDArray[Any], stream: Any) -> None:
        assert src.flags.c_contiguous
        self._gpu.upload(dest, src.ctypes.data, src.nbytes, stream.handle)

    def memcpy_dtoh_async(self, dest: NDArray[Any], src: int, stream: Any) -> None:
        assert dest.flags.c_contiguous
        self._gpu.download(dest.ctypes.data, src, dest.nbytes, stream.handle)

    def _release(self) -> None:
        self._gpu.retained -= 1


class _Stream:
    """A stream that is destroyed with its last reference, as pycuda's is."""

    def __init__(self, gpu: FakeGpu) -> None:
        gpu.require_context()
        self._gpu, self.handle = gpu, gpu.handle()
        gpu.streams[self.handle] = FakeStream()

    def synchronize(self) -> None:
        self._gpu.require_context()
        if self._gpu.is_lost:
            raise FakePyCuda.Error("cuStreamSynchronize failed: unspecified launch failure")
        self._gpu.streams[self.handle].synchronise()

    def __del__(self) -> None:
        del self._gpu.streams[self.handle]


class _Allocation:
    def __init__(self, gpu: FakeGpu, address: int) -> None:
        self._gpu, self._address = gpu, address

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._gpu.free(self._address)


class _PinnedMemory:
    """Owner of page-locked memory: what ``base`` of an array of pycuda is."""

    def __init__(self, gpu: FakeGpu, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._gpu, self._memory = gpu, gpu.allocate_pinned(int(np.prod(shape)) * dtype.itemsize)
        described = {"shape": shape, "typestr": dtype.str, "descr": [("", dtype.str)]}
        self.__array_interface__ = {**self._memory.__array_interface__, **described}

    def free(self) -> None:
        self._gpu.free_pinned(self._memory.ctypes.data)
