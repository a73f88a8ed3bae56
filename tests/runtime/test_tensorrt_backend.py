"""TensorRT engines, run for real up to the library and the driver, which are strict stand-ins where there is no GPU."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.errors import MissingDependencyError, UserError
from mcore_runtime.backends.base import Backend, BackendError
from mcore_runtime.backends.ort import OrtBackend
from mcore_runtime.backends.tensorrt import devices
from mcore_runtime.backends.tensorrt.backend import TensorRtBackend
from mcore_runtime.backends.tensorrt.flavours import APIS, load_flavour
from mcore_runtime.bundle import Bundle
from mcore_runtime.manifest import PARTS, EngineRecord, GraphSet
from tests.runtime import fake_tensorrt
from tests.runtime.conftest import DIM, FRAMES, SIDE, TOKENS
from tests.runtime.fake_gpu import FakeCudaPython, FakeGpu, FakePyCuda
from tests.runtime.fake_tensorrt import FakeTensorRt

VERSION = "10.3.0"
MOST = 4
"""Exemplars that the engines take at once."""
MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


class Machine:
    """A machine with a fake GPU and a fake TensorRT."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: str, driver: str, version: str) -> None:
        self.gpu, self.kind, self.version = FakeGpu(), kind, version
        self.trt = FakeTensorRt(self.gpu, version, rtx=kind == "tensorrt-rtx")
        monkeypatch.setitem(sys.modules, MODULES[kind], self.trt)
        use_driver(monkeypatch, driver, self.gpu)

    def graphs(self, folder: Path, *, most: int = MOST, target: str = "sm87", **changes: Any) -> GraphSet:
        """A bundle's graphs with engines that were built for this machine, unless told otherwise."""
        graphs = Bundle.open(folder).graphs()
        record = EngineRecord(
            kind=self.kind,
            version=self.version,
            target=target,
            precision="fp32",
            files={part: f"{part}.engine" for part in PARTS},
            timing_cache=None,
            build_s={},
            graphs_sha256=graphs.digest(),
            max_exemplars=most,
        )
        for part in PARTS:
            engine = self.trt.engine(graphs.path(part).read_bytes(), target=target, most=most)
            (folder / f"{part}.engine").write_bytes(engine)
        return dataclasses.replace(graphs, engines=(dataclasses.replace(record, **changes),))

    def open(self, folder: Path, **changes: Any) -> TensorRtBackend:
        return TensorRtBackend(self.graphs(folder, **changes), self.kind)


def use_driver(monkeypatch: pytest.MonkeyPatch, driver: str, gpu: FakeGpu | None) -> None:
    """Install the stand-in of one package that reaches the GPU, and hide the other."""
    fakes: dict[str, Any] = {"pycuda": FakePyCuda(gpu), "cuda-python": FakeCudaPython(gpu)}
    monkeypatch.setitem(sys.modules, "pycuda.driver", fakes["pycuda"] if driver == "pycuda" else None)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", fakes["cuda-python"] if driver == "cuda-python" else None)


MACHINES = [
    ("tensorrt", "pycuda", "10.3.0"),
    ("tensorrt", "cuda-python", "10.3.0"),
    ("tensorrt", "cuda-python", "11.1.0.106"),
    ("tensorrt-rtx", "cuda-python", "1.7.1.116"),
]


@pytest.fixture(params=MACHINES, ids=["-".join(machine) for machine in MACHINES])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch, *request.param)


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch, "tensorrt", "cuda-python", VERSION)


def random_input(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run_all(backend: Backend, seed: int, exemplars: int) -> list[NDArray[Any]]:
    """Every output of the three graphs on random inputs."""
    features = backend.backbone(random_input(seed, 1, 3, FRAMES, SIDE, SIDE))
    segmented = backend.segmenter(random_input(seed + 1, 1, FRAMES, DIM))
    compared = backend.regressor(random_input(seed + 2, 1, TOKENS, DIM), random_input(seed, exemplars, TOKENS, DIM))
    return [features, *segmented, *compared]


def test_engines_give_what_the_graphs_give(machine: Machine, bundle_copy: Path) -> None:
    """Also with more exemplars than the engine takes at once, and with fewer after more."""
    backend = machine.open(bundle_copy)
    plain = OrtBackend(Bundle.open(bundle_copy).graphs(), "onnxruntime", threads=1)
    for seed, exemplars in enumerate((1, 3, MOST, 2, 2 * MOST + 1, 1)):
        for got, wanted in zip(run_all(backend, seed, exemplars), run_all(plain, seed, exemplars), strict=True):
            assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    backend.close()
    assert machine.gpu.leaks() == {}
    assert machine.trt.live == set()


def test_results_belong_to_the_caller(machine: Machine, bundle_copy: Path) -> None:
    backend = machine.open(bundle_copy)
    clip = random_input(0, 1, 3, FRAMES, SIDE, SIDE)
    first = backend.backbone(clip)
    kept = first.copy()
    backend.backbone(clip + 1)
    backend.close()
    np.testing.assert_array_equal(first, kept)


def test_memory_stays_as_it_is(machine: Machine, bundle_copy: Path) -> None:
    backend = machine.open(bundle_copy)
    before = machine.gpu.allocations
    for seed in range(3):
        run_all(backend, seed, seed + MOST)
    assert machine.gpu.allocations == before
    backend.close()


def test_it_says_what_runs(machine: Machine, bundle_copy: Path) -> None:
    backend = TensorRtBackend(machine.graphs(bundle_copy), machine.kind, notes=("chosen by hand",))
    title = "TensorRT-RTX" if machine.kind == "tensorrt-rtx" else "TensorRT"
    assert backend.name == machine.kind
    assert backend.provider == f"{title} {machine.version} on Orin (sm87)"
    assert dict(backend.precision) == dict.fromkeys(PARTS, "fp32")
    assert backend.notes[0] == "chosen by hand"
    backend.close()


def test_fixed_shapes_run_as_cuda_graphs(jetson: Machine, bundle_copy: Path) -> None:
    backend = jetson.open(bundle_copy)
    before = jetson.gpu.launches
    run_all(backend, 0, 2)
    assert jetson.gpu.launches == before + 2, "backbone and segmenter, not the regressor"
    assert backend.notes == ()
    backend.close()
    plain = TensorRtBackend(jetson.graphs(bundle_copy), "tensorrt", cuda_graphs=False)
    before = jetson.gpu.launches
    run_all(plain, 0, 2)
    assert jetson.gpu.launches == before
    plain.close()


def test_rtx_captures_by_itself(monkeypatch: pytest.MonkeyPatch, bundle_copy: Path) -> None:
    machine = Machine(monkeypatch, "tensorrt-rtx", "cuda-python", "1.7.1.116")
    backend = machine.open(bundle_copy)
    assert [strategy.name for strategy in machine.trt.capture_strategies] == ["WHOLE_GRAPH_CAPTURE"] * len(PARTS)
    run_all(backend, 0, 2)
    assert machine.gpu.launches == 0
    backend.close()


@pytest.mark.parametrize(
    ("attribute", "value", "note"),
    [
        ("capturable", False, "cannot be captured as a CUDA graph"),
        ("refuses_capture", True, "cannot be captured as a CUDA graph"),
        ("stale_capture", True, "computes other values"),
    ],
)
def test_a_graph_that_cannot_be_captured_runs_kernel_by_kernel(
    jetson: Machine, bundle_copy: Path, attribute: str, value: bool, note: str
) -> None:
    setattr(jetson.trt, attribute, value)
    backend = jetson.open(bundle_copy)
    assert [note in text for text in backend.notes] == [True, True]
    plain = OrtBackend(Bundle.open(bundle_copy).graphs(), "onnxruntime", threads=1)
    for got, wanted in zip(run_all(backend, 5, 2), run_all(plain, 5, 2), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    backend.close()
    assert jetson.gpu.leaks() == {}


def test_it_belongs_to_one_thread(machine: Machine, bundle_copy: Path) -> None:
    backend = machine.open(bundle_copy)
    features = random_input(0, 1, FRAMES, DIM)
    for call in (lambda: backend.segmenter(features), backend.close):
        with pytest.raises(RuntimeError, match="belongs to the thread that opened it"):
            in_a_thread(call)
    backend.segmenter(features)
    backend.close()
    assert machine.gpu.leaks() == {}


def in_a_thread(call: Callable[[], Any]) -> None:
    """Call it in another thread and raise here what it raised there."""
    raised: list[BaseException] = []

    def body() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def test_two_backends_share_the_context(machine: Machine, bundle_copy: Path) -> None:
    first, second = machine.open(bundle_copy), machine.open(bundle_copy)
    first.close()
    assert len(run_all(second, 0, 2)) == 6
    second.close()
    assert machine.gpu.leaks() == {}


def test_closed_is_closed(machine: Machine, bundle_copy: Path) -> None:
    backend = machine.open(bundle_copy)
    backend.close()
    backend.close()
    with pytest.raises(RuntimeError, match="closed"):
        backend.segmenter(random_input(0, 1, FRAMES, DIM))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, FRAMES + 1, DIM), np.float32), r"features is float32 \[1, 9, 8\], expected float32 \[1, 8, 8\]"),
        (np.zeros((1, FRAMES, DIM)), "features is float64"),
    ],
)
def test_wrong_arrays_are_refused(jetson: Machine, bundle_copy: Path, array: Any, message: str) -> None:
    backend = jetson.open(bundle_copy)
    with pytest.raises(ValueError, match=message):
        backend.segmenter(array)
    with pytest.raises(ValueError, match="no exemplars"):
        backend.regressor(random_input(0, 1, TOKENS, DIM), random_input(0, 0, TOKENS, DIM))
    backend.close()


def test_a_run_that_fails_is_said(machine: Machine, bundle_copy: Path) -> None:
    backend = machine.open(bundle_copy)
    tokens = random_input(0, 2, TOKENS, DIM)
    machine.trt.run_complaint = "Error Code 1: out of registers"
    with pytest.raises(BackendError, match=r"engine of regressor\.onnx did not run: Error Code 1: out of registers"):
        backend.regressor(tokens[:1], tokens)
    backend.close()


def test_a_gpu_that_fails_is_said_and_let_go(machine: Machine, bundle_copy: Path) -> None:
    backend = machine.open(bundle_copy)
    tokens = random_input(0, 2, TOKENS, DIM)
    machine.gpu.is_lost = True
    with pytest.raises(BackendError, match=r"the GPU failed while running TensorRT.*(LAUNCH_FAILED|launch failure)"):
        backend.regressor(tokens[:1], tokens)
    backend.close()
    assert "contexts" not in machine.gpu.leaks()


# What must never be loaded, and what is said instead


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "10.7.0"}, r"was built with 10\.7\.0 for sm87; this machine has tensorrt 10\.3\.0 on sm87"),
        ({"target": "sm89"}, r"was built with 10\.3\.0 for sm89; this machine has tensorrt 10\.3\.0 on sm87"),
        ({"kind": "tensorrt-rtx"}, "has no tensorrt engine of its fp32 graphs; this machine has tensorrt"),
        ({"precision": "fp16"}, "has no tensorrt engine of its fp32 graphs"),
        ({"graphs_sha256": "0" * 64}, "was built from other fp32 graphs"),
    ],
)
def test_an_engine_of_something_else_is_never_touched(
    jetson: Machine, bundle_copy: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BackendError, match=message) as caught:
        jetson.open(bundle_copy, **changes)
    assert str(caught.value).endswith(
        f"Build it here with: mcore-export {bundle_copy} --engine tensorrt --precision fp32"
    )
    assert jetson.trt.loads == 0
    assert jetson.gpu.leaks() == {}


def test_the_command_names_the_precision(jetson: Machine, bundle_copy: Path) -> None:
    graphs = dataclasses.replace(Bundle.open(bundle_copy).graphs(), variant="fp16")
    with pytest.raises(BackendError, match=r"--engine tensorrt --precision fp16$"):
        TensorRtBackend(graphs, "tensorrt")


def test_the_engine_that_fits_is_found_among_others(jetson: Machine, bundle_copy: Path) -> None:
    graphs = jetson.graphs(bundle_copy)
    fitting = graphs.engines[0]
    others = [dataclasses.replace(fitting, version="10.7.0"), dataclasses.replace(fitting, graphs_sha256="0" * 64)]
    backend = TensorRtBackend(dataclasses.replace(graphs, engines=(*others, fitting)), "tensorrt")
    backend.close()


def test_a_manifest_that_lies_is_found_out_by_the_library(jetson: Machine, bundle_copy: Path) -> None:
    """The record says this machine, the engine's bytes another: TensorRT returns None and says why in its log."""
    with pytest.raises(
        BackendError, match=r"TensorRT 10\.3\.0 cannot load .*backbone\.engine: The engine plan was made"
    ):
        TensorRtBackend(
            dataclasses.replace(
                (graphs := jetson.graphs(bundle_copy, target="sm89")),
                engines=(dataclasses.replace(graphs.engines[0], target="sm87"),),
            ),
            "tensorrt",
        )
    assert jetson.gpu.leaks() == {}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"not an engine"), "magicTag failed"),
        (lambda path: path.unlink(), "cannot read .*No such file"),
    ],
)
def test_a_damaged_engine_is_an_error(
    jetson: Machine, bundle_copy: Path, damage: Callable[[Path], None], message: str
) -> None:
    graphs = jetson.graphs(bundle_copy)
    damage(bundle_copy / "segmenter.engine")
    with pytest.raises(BackendError, match=message):
        TensorRtBackend(graphs, "tensorrt")
    assert jetson.gpu.leaks() == {}
    assert jetson.trt.live == set()


def test_swapped_engines_are_found_out(jetson: Machine, bundle_copy: Path) -> None:
    graphs = jetson.graphs(bundle_copy)
    (bundle_copy / "backbone.engine").write_bytes((bundle_copy / "segmenter.engine").read_bytes())
    with pytest.raises(
        BackendError, match=r"has the inputs features float32 .*; the bundle's contract is clip float32"
    ):
        TensorRtBackend(graphs, "tensorrt")


def test_a_profile_of_another_size_is_found_out(jetson: Machine, bundle_copy: Path) -> None:
    with pytest.raises(BackendError, match=r"takes exemplars from \[1, 6, 8\] to \[4, 6, 8\]; .* to \[9, 6, 8\]"):
        jetson.open(bundle_copy, max_exemplars=9)


def test_no_memory_left_is_said(machine: Machine, bundle_copy: Path) -> None:
    machine.gpu.bytes_left = 5000
    with pytest.raises(BackendError, match=r"cannot run .* here: .*(OUT_OF_MEMORY|out of memory)"):
        machine.open(bundle_copy)
    assert machine.gpu.leaks() == {}
    assert machine.trt.live == set()


# Without a GPU, a driver, or the library


@pytest.mark.parametrize(("driver", "reason"), [("pycuda", "no CUDA-capable device"), ("cuda-python", "NO_DEVICE")])
def test_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, jetson: Machine, bundle_copy: Path, driver: str, reason: str
) -> None:
    use_driver(monkeypatch, driver, None)
    with pytest.raises(BackendError, match=rf"no GPU .*{reason}.*--backend onnxruntime"):
        jetson.open(bundle_copy)


def test_without_a_way_to_the_gpu(monkeypatch: pytest.MonkeyPatch, jetson: Machine, bundle_copy: Path) -> None:
    use_driver(monkeypatch, "neither", None)
    with pytest.raises(MissingDependencyError, match=r"needs pycuda or cuda-python.*mcore-edge\[tensorrt\]"):
        jetson.open(bundle_copy)


def test_the_real_cuda_python_says_that_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed")
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    try:
        driver.cuInit(0)
        pytest.skip("there is a driver here")
    except RuntimeError:
        with pytest.raises(BackendError, match=r"no GPU with a driver here.*Do something else$"):
            devices.open_cuda("Do something else")


def test_types_alone_are_not_the_library(monkeypatch: pytest.MonkeyPatch, bundle_copy: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(MissingDependencyError, match=r"only types of it.*mcore-edge\[tensorrt\].*JetPack"):
        TensorRtBackend(Bundle.open(bundle_copy).graphs(), "tensorrt")


@pytest.mark.parametrize("version", ["8.6.1", "10.2.0", "12.0.0", "dev"])
def test_unknown_versions_are_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt(None, version))
    with pytest.raises(
        BackendError, match=rf"TensorRT {version} is installed.*10\.3 and later 10\.x, 11\.0 and later 11\.x"
    ):
        load_flavour("tensorrt")


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(UserError, match="no engines of kind 'tensorflow'; allowed: tensorrt, tensorrt-rtx"):
        load_flavour("tensorflow")


def test_every_kind_has_its_row() -> None:
    assert {kind for kind, _ in APIS} == set(MODULES)


# The stand-ins themselves: they may offer nothing that the real ones lack


def test_the_fake_driver_offers_only_what_cuda_python_offers() -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed")
    for name, function in inspect.getmembers(FakeCudaPython, inspect.isfunction):
        if name.startswith("cu"):
            signature = getattr(driver, name).__doc__.strip().splitlines()[0]  # compiled: the arguments stand there
            inside = signature.partition("(")[2].rpartition(")")[0]
            arguments = [argument for argument in inside.split(",") if argument.strip()]
            assert len(arguments) == len(inspect.signature(function).parameters) - 1, name  # without self
    for enumeration in ("CUresult", "CUdevice_attribute", "CUstream_flags", "CUstreamCaptureMode"):
        for member in getattr(FakeCudaPython, enumeration):
            assert getattr(driver, enumeration).__members__[member.name].value == member.value


def test_the_fake_library_offers_only_what_tensorrt_rtx_offers() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    fake = FakeTensorRt(None, "1.7.1.116", rtx=True)
    pairs = [
        (fake.Runtime, trt.Runtime),
        (fake.Builder, trt.Builder),
        (fake.OnnxParser, trt.OnnxParser),
        (fake.ILogger, trt.ILogger),
        (fake_tensorrt._Engine, trt.ICudaEngine),
        (fake_tensorrt._Context, trt.IExecutionContext),
        (fake_tensorrt._Network, trt.INetworkDefinition),
        (fake_tensorrt._RtxConfig, trt.IBuilderConfig),
        (fake_tensorrt._Profile, trt.IOptimizationProfile),
        (fake_tensorrt._TimingCache, trt.ITimingCache),
        (fake_tensorrt._HostMemory, trt.IHostMemory),
    ]
    own = {"build", "read"} | set(dir(bytes))
    for stand_in, real in pairs:
        for name in vars(stand_in):
            assert name.startswith("_") or name in own or hasattr(real, name), f"{real.__name__}.{name}"
    for severity in fake_tensorrt.Severity:
        assert hasattr(trt.ILogger.Severity, severity.name)
    assert hasattr(trt.IRuntimeConfig, "cuda_graph_strategy")
