"""The fake TensorRT's networks, configurations and timing caches: what a builder makes an engine of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.runtime.fake_tensorrt_types import Dims, TensorIOMode, tensors_of

if TYPE_CHECKING:
    from tests.runtime.fake_tensorrt import FakeTensorRt


class Network:
    def __init__(self, is_strongly_typed: bool) -> None:
        self.is_strongly_typed = is_strongly_typed
        self.onnx = b""
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def read(self, onnx: bytes) -> None:
        self.onnx = onnx
        tensors = tensors_of(onnx).values()
        self._inputs = [tensor for tensor in tensors if tensor.mode is TensorIOMode.INPUT]
        self._outputs = [tensor for tensor in tensors if tensor.mode is TensorIOMode.OUTPUT]

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_input(self, index: int) -> Any:
        return self._inputs[index]

    def get_output(self, index: int) -> Any:
        return self._outputs[index]


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[Dims, Dims, Dims]] = {}

    def set_shape(self, input: str, min: Dims, opt: Dims, max: Dims) -> None:
        assert all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True))
        self.shapes[input] = (min, opt, max)


class HostMemory(bytes):
    @property
    def nbytes(self) -> int:
        return len(self)


class Config:
    def __init__(self, fake: FakeTensorRt) -> None:
        self._fake = fake
        self.flags = {"TF32"}  # on by default
        self._profile: Profile | None = None
        self._cache: TimingCache | None = None

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag.name)

    def add_optimization_profile(self, profile: Profile) -> int:
        self._profile = profile
        return 0

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache:
        return TimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        assert not self._fake.rtx, "makes a build without a GPU fail"
        assert self._fake.gpu is not None
        if cache.content and not cache.content.startswith(self._fake.gpu.target.encode()) and not ignore_mismatch:
            return False
        self._cache = cache
        self._fake.timing_caches.append(cache.content)
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self._cache

    def build(self, network: Network) -> HostMemory:
        dynamic = [tensor for tensor in (network.get_input(i) for i in range(network.num_inputs)) if -1 in tensor.shape]
        assert not dynamic or self._profile is not None, "a shape that varies needs a profile"
        most = max((self._profile.shapes[tensor.name][2][0] for tensor in dynamic if self._profile), default=1)
        target = self._target()
        if self._cache is not None:
            self._cache.content = (self._cache.content or target.encode()) + b"+"
        typed = network.is_strongly_typed or int(self._fake.__version__.split(".")[0]) >= 11
        return HostMemory(self._fake.engine(network.onnx, target=target, most=most, typed=typed))

    def _target(self) -> str:
        assert self._fake.gpu is not None
        return self._fake.gpu.target


class RtxConfig(Config):
    num_compute_capabilities = 0
    _capability = ""

    def set_compute_capability(self, compute_capability: Any, index: int) -> bool:
        self._capability = compute_capability.name
        return index < self.num_compute_capabilities

    def _target(self) -> str:
        return self._capability.lower()


class TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> HostMemory:
        return HostMemory(self.content)
