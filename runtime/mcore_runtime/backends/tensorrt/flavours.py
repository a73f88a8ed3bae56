"""TensorRT comes as ``tensorrt`` and ``tensorrt_rtx``: one API, and one table of what differs.

Compared for this table: the bindings' sources of 10.0, 10.3, 10.13, 11.0 and 11.1, NVIDIA's guides for migrating to
11 and to TensorRT-RTX, and TensorRT-RTX 1.7 itself. Everything else that is used here has the same name and
arguments in all of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from mcore.common.errors import MissingDependencyError, UserError
from mcore.common.optional import has_jetson_kernel, install_command
from mcore_runtime.backends.base import BackendError
from mcore_runtime.backends.tensorrt.messages import Journal, describe_errors, journal_of

if TYPE_CHECKING:
    import tensorrt as trt

Kind = Literal["tensorrt", "tensorrt-rtx"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The two libraries; also the names of their backends."""


@dataclass(frozen=True)
class Api:
    """Differences of one major version of one library from the others."""

    oldest: tuple[int, int]
    """Major and minor version that this code needs at least."""
    typing_flag: bool
    """A network keeps the graph's types only if ``create_network`` is told so. TensorRT 11 and TensorRT-RTX know
    nothing else, and deprecate the flag. TensorRT 10's FP16 and INT8 flags, which let it choose the types, are not
    used: 11 and TensorRT-RTX lack them, and what was proven would not be what runs."""
    timing_cache: bool
    """Building times kernels on the GPU, and a cache saves repeating that. TensorRT-RTX times nothing; there the
    call still exists, has no effect, and makes a build without a GPU fail."""
    ahead_of_time: bool
    """Engines can be built for the architectures in ``ComputeCapability`` without such a GPU at hand."""
    own_cuda_graphs: bool
    """The library captures CUDA graphs itself (``cuda_graph_strategy``); capturing the stream from outside would
    need engines without memory of their own."""


APIS: dict[tuple[Kind, int], Api] = {
    ("tensorrt", 10): Api((10, 3), typing_flag=True, timing_cache=True, ahead_of_time=False, own_cuda_graphs=False),
    ("tensorrt", 11): Api((11, 0), typing_flag=False, timing_cache=True, ahead_of_time=False, own_cuda_graphs=False),
    ("tensorrt-rtx", 1): Api((1, 2), typing_flag=False, timing_cache=False, ahead_of_time=True, own_cuda_graphs=True),
}
"""APIs by library and major version; other versions are refused."""

_MODULES: dict[Kind, tuple[str, ...]] = {
    "tensorrt": ("tensorrt",),
    "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),  # the second where only the bindings are installed
}
_EXTRAS: dict[Kind, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "rtx"}
_ON_JETSON: dict[Kind, str] = {
    "tensorrt": (
        "It comes with JetPack (sudo apt install nvidia-jetpack), and the environment must see the system's packages"
    ),
    "tensorrt-rtx": "There is none for Jetsons; take --backend tensorrt",
}
_TITLES: dict[Kind, str] = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}


class TensorRtModule(Protocol):
    """Members used of either module; mypy checks every use wherever TensorRT's types are installed."""

    Builder: type[trt.Builder]
    BuilderFlag: type[trt.BuilderFlag]
    Dims: type[trt.Dims]
    NetworkDefinitionCreationFlag: type[trt.NetworkDefinitionCreationFlag]
    OnnxParser: type[trt.OnnxParser]
    Runtime: type[trt.Runtime]
    TensorIOMode: type[trt.TensorIOMode]
    ComputeCapability: Any
    """GPU architecture to build for; TensorRT-RTX only."""
    CudaGraphStrategy: Any
    """Use of CUDA graphs; TensorRT-RTX only."""


@dataclass(frozen=True)
class Flavour:
    """A library that is installed here."""

    kind: Kind
    version: str
    """Version such as ``10.3.0``; an engine needs exactly the version that built it."""
    api: Api
    module: TensorRtModule
    journal: Journal
    """Messages that the library has written."""

    @property
    def title(self) -> str:
        """Name and version for people: ``TensorRT 10.3.0``."""
        return f"{_TITLES[self.kind]} {self.version}"

    def new_builder(self) -> trt.Builder:
        """Make a builder that logs to the journal.

        Raises:
            BackendError: the library cannot start, such as with too old a driver.
        """
        builder: trt.Builder = self._make(self.module.Builder)
        return builder

    def new_runtime(self) -> trt.Runtime:
        """Make a runtime that logs to the journal; raises as ``new_builder`` does."""
        runtime: trt.Runtime = self._make(self.module.Runtime)
        return runtime

    def _make(self, what: Callable[[Any], Any]) -> Any:
        with self.journal.listen() as messages:
            try:
                return what(self.journal.logger)
            except TypeError as error:  # so the bindings say that the library gave nothing
                raise BackendError(
                    f"{self.title} cannot start: {describe_errors(messages)}. It may need a newer NVIDIA driver"
                ) from error

    def targets(self) -> tuple[str, ...]:
        """Return the architectures that engines can be built for without such a GPU, such as ``sm89``."""
        if not self.api.ahead_of_time:
            return ()
        return tuple(name.lower() for name in self.module.ComputeCapability.__members__ if name.startswith("SM"))


def load_flavour(kind: str) -> Flavour:
    """Import one of the libraries.

    Args:
        kind: ``tensorrt`` or ``tensorrt-rtx``.

    Raises:
        MissingDependencyError: it is not installed.
        BackendError: it is a version that this code does not know.
        UserError: no library of this name.
    """
    for known in KINDS:
        if known == kind:
            module = _import(known)
            version = str(module.__version__)
            return Flavour(known, version, _api(known, version), module, journal_of(module))
    raise UserError(f"no engines of kind {kind!r}; allowed: {', '.join(KINDS)}")


def _import(kind: Kind) -> Any:
    reasons = []
    for name in _MODULES[kind]:
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: the bindings are there, the library is not
            reasons.append(str(error))
            continue
        # A folder of type stubs alone can be imported too, and is empty.
        if hasattr(module, "__version__"):
            return module
        reasons.append(f"what is installed as {name!r} is not the library, only types of it")
    remedy = f"Install it with: {install_command(_EXTRAS[kind])}"
    if has_jetson_kernel():
        remedy = _ON_JETSON[kind]
    raise MissingDependencyError(
        f"The backend {kind} needs the package {_MODULES[kind][0]!r}, which cannot be imported ({'; '.join(reasons)}). "
        f"{remedy}"
    )


def _api(kind: Kind, version: str) -> Api:
    known = ", ".join(
        f"{api.oldest[0]}.{api.oldest[1]} and later {major}.x" for (k, major), api in APIS.items() if k == kind
    )
    try:
        major, minor = (int(number) for number in version.split(".")[:2])
        api = APIS[(kind, major)]
    except (ValueError, KeyError):
        raise BackendError(
            f"{_TITLES[kind]} {version} is installed; this version of mcore-edge knows {known}. Install one of them, "
            "or upgrade mcore-edge"
        ) from None
    if (major, minor) < api.oldest:
        raise BackendError(f"{_TITLES[kind]} {version} is installed, which is too old; needed: {known}")
    return api
