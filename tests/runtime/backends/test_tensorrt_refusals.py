"""Engines that must not be loaded, machines that cannot run any, and what is said instead."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mcore.common.errors import MissingDependencyError, UserError
from mcore_runtime.backends.base import BackendError
from mcore_runtime.backends.tensorrt import devices
from mcore_runtime.backends.tensorrt.backend import TensorRtBackend
from mcore_runtime.backends.tensorrt.flavours import APIS, load_flavour
from mcore_runtime.bundle.folder import Bundle
from tests.runtime import fake_tensorrt, fake_tensorrt_build, fake_tensorrt_types
from tests.runtime.fake_drivers import FakeCudaPython
from tests.runtime.fake_machine import MODULES, Machine, use_driver
from tests.runtime.fake_tensorrt import FakeTensorRt

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
        f"Build it here with: mcore-bundle engine {bundle_copy} --kind tensorrt --precision fp32"
    )
    assert jetson.trt.loads == 0
    assert jetson.gpu.leaks() == {}


def test_the_command_names_the_precision(jetson: Machine, bundle_copy: Path) -> None:
    graphs = dataclasses.replace(Bundle.open(bundle_copy).graphs(), variant="fp16")
    with pytest.raises(BackendError, match=r"--kind tensorrt --precision fp16$"):
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
    with pytest.raises(MissingDependencyError, match=r"needs pycuda or cuda-python.*\[tensorrt\]"):
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


@pytest.mark.parametrize(
    ("kernel", "remedy"),
    [("6.8.0-49-generic", r"\[tensorrt\]'"), ("5.15.148-tegra", "comes with JetPack .*sees? the system's packages")],
)
def test_types_alone_are_not_the_library(
    monkeypatch: pytest.MonkeyPatch, bundle_copy: Path, kernel: str, remedy: str
) -> None:
    monkeypatch.setattr("platform.release", lambda: kernel)
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(MissingDependencyError, match=rf"only types of it.*{remedy}"):
        TensorRtBackend(Bundle.open(bundle_copy).graphs(), "tensorrt")


@pytest.mark.parametrize(
    ("kernel", "remedy"), [("6.8.0-49-generic", r"\[rtx\]'"), ("5.15.148-tegra", "There is none for Jetsons")]
)
def test_tensorrt_rtx_does_not_come_with_a_jetson(monkeypatch: pytest.MonkeyPatch, kernel: str, remedy: str) -> None:
    monkeypatch.setattr("platform.release", lambda: kernel)
    for name in ("tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(MissingDependencyError, match=rf"only types of it.*{remedy}"):
        load_flavour("tensorrt-rtx")


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
        (fake_tensorrt_build.Network, trt.INetworkDefinition),
        (fake_tensorrt_build.RtxConfig, trt.IBuilderConfig),
        (fake_tensorrt_build.Profile, trt.IOptimizationProfile),
        (fake_tensorrt_build.TimingCache, trt.ITimingCache),
        (fake_tensorrt_build.HostMemory, trt.IHostMemory),
    ]
    own = {"build", "read"} | set(dir(bytes))
    for stand_in, real in pairs:
        for name in vars(stand_in):
            assert name.startswith("_") or name in own or hasattr(real, name), f"{real.__name__}.{name}"
    for severity in fake_tensorrt_types.Severity:
        assert hasattr(trt.ILogger.Severity, severity.name)
    assert hasattr(trt.IRuntimeConfig, "cuda_graph_strategy")
