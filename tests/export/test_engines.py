"""Engines: built for real by TensorRT-RTX, which needs no GPU, and by a stand-in of TensorRT, which needs one."""

from __future__ import annotations

import dataclasses
import errno
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.errors import MissingDependencyError, UserError
from mcore.config import ModelConfig
from mcore.network.model import MCoRe
from mcore_export.engines.build import build_engines
from mcore_export.exporter import write_graphs
from mcore_export.quantise.int8 import ParityVerdict, quantise
from mcore_export.quantise.qdq import Activations
from mcore_runtime.backends.base import BackendError
from mcore_runtime.backends.ort import OrtBackend
from mcore_runtime.backends.tensorrt.backend import TensorRtBackend
from mcore_runtime.backends.tensorrt.devices import find_gpu
from mcore_runtime.backends.tensorrt.engine import load_engine
from mcore_runtime.backends.tensorrt.flavours import load_flavour
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, GraphSet, Precision
from tests.reference_network import random_model
from tests.runtime.fake_drivers import FakeCudaPython
from tests.runtime.fake_gpu import FakeGpu
from tests.runtime.fake_tensorrt import FakeTensorRt
from tests.runtime.fake_tensorrt_build import Config

BUILDS: list[tuple[Precision, str]] = [("fp32", "sm80"), ("fp32", "sm120"), ("fp16", "sm75"), ("fp16", "sm89")]
"""The oldest and a new architecture for each precision; sm75 takes fp16 only."""


def export(config: ModelConfig, precision: Precision, folder: Path) -> GraphSet:
    """Export a network with random weights and gates."""
    return write_graphs(random_model(MCoRe(config)), folder, 18, precision)


@pytest.fixture(scope="module")
def tiny(bundle: Path, tiny_config: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, GraphSet]:
    """The small network's graphs, by precision."""
    fp16 = export(tiny_config, "fp16", tmp_path_factory.mktemp("graphs"))
    return {"fp32": Bundle.open(bundle).graphs("fp32"), "fp16": fp16}


@pytest.fixture
def said() -> list[str]:
    """What a build said."""
    return []


@pytest.fixture
def rtx() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install '.[rtx]'")


@pytest.fixture
def no_gpu() -> None:
    """Skip where there is a GPU."""
    try:
        pytest.skip(f"this machine has a GPU: {find_gpu('')}")
    except (BackendError, MissingDependencyError):
        return


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorRt]:
    """A machine with a stand-in of TensorRT 10.3 and of a GPU."""
    gpu = FakeGpu()
    trt = FakeTensorRt(gpu, "10.3.0")
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", FakeCudaPython(gpu))
    yield trt
    assert gpu.leaks() == {}


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# TensorRT-RTX, for real


@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize(("precision", "target"), BUILDS)
def test_rtx_builds_every_graph_without_a_gpu(
    tiny: dict[str, GraphSet], tmp_path: Path, precision: str, target: str, said: list[str]
) -> None:
    record = build_engines(tiny[precision], "tensorrt-rtx", tmp_path, target=target, max_exemplars=16, log=said.append)
    version = load_flavour("tensorrt-rtx").version
    assert record.name == f"tensorrt-rtx-{version}-{target}-{precision}"
    assert files_below(tmp_path) == sorted(record.files.values()), "no timing cache, which TensorRT-RTX does not have"
    assert record.timing_cache is None
    assert (record.graphs_sha256, record.max_exemplars) == (tiny[precision].digest(), 16)
    for part in PARTS:
        assert record.files[part] == f"engines/{record.name}/{part}.engine"
        assert (tmp_path / record.files[part]).stat().st_size > 10_000
        assert record.build_s[part] > 0
        assert any(line.startswith(f"{part} ") and target in line for line in said)
    assert any("Int64 binding" in line for line in said), "what the parser says is passed on"


@pytest.mark.slow
@pytest.mark.usefixtures("rtx")
def test_rtx_builds_layers_as_wide_as_published(tmp_path: Path, said: list[str]) -> None:
    """96 frames of 112 pixels, one block of each width; for Turing, which has no float32 matrix products."""
    published = ModelConfig()
    shallow = dataclasses.replace(published.backbone, depths=(1,) * len(published.backbone.depths))
    graphs = export(dataclasses.replace(published, backbone=shallow, decoder_layers=1), "fp16", tmp_path)
    record = build_engines(graphs, "tensorrt-rtx", tmp_path, target="sm75", log=said.append)
    assert sum((tmp_path / name).stat().st_size for name in record.files.values()) > 5e6


@pytest.mark.usefixtures("rtx")
def test_rtx_says_why_turing_takes_no_fp32(tiny: dict[str, GraphSet], tmp_path: Path, said: list[str]) -> None:
    advice = (
        r"no float32 matrix products on Turing \(sm75\).*BUNDLE --kind tensorrt-rtx --precision fp16 --target sm75$"
    )
    with pytest.raises(BackendError, match=rf"cannot build the segmenter: .*FP32 GEMM is not supported.*{advice}"):
        build_engines(tiny["fp32"], "tensorrt-rtx", tmp_path, target="sm75", log=said.append)
    assert any(line.startswith("segmenter: ERROR: ") for line in said)
    assert files_below(tmp_path) == []


@pytest.mark.usefixtures("rtx")
def test_rtx_builds_signed_int8_only(tiny: dict[str, GraphSet], tmp_path: Path, said: list[str]) -> None:
    """The graphs made for CPUs have unsigned activations with a zero point, which the parser refuses."""
    signed = quantised(tiny["fp32"], tmp_path / "signed", "int8")
    record = build_engines(signed, "tensorrt-rtx", tmp_path, target="sm89", log=said.append)
    assert record.name.endswith("-sm89-int8")
    unsigned = quantised(tiny["fp32"], tmp_path / "unsigned", "uint8")
    advice = "signed, symmetric int8 only.*--out BUNDLE --int8 --engine tensorrt-rtx; or .*--precision fp16$"
    with pytest.raises(BackendError, match=rf"'transpose_QuantizeLinear'.*zero point.*{advice}"):
        build_engines(unsigned, "tensorrt-rtx", tmp_path, target="sm89", log=said.append)


def quantised(graphs: GraphSet, folder: Path, activations: Activations) -> GraphSet:
    """Int8 graphs, whatever they cost."""
    generator = np.random.default_rng(0)
    shape = [int(axis) for axis in graphs.records["backbone"].inputs[0].shape[1:]]  # (3, T, c, c)
    clips = [generator.standard_normal(shape).astype(np.float32) for _ in range(2)]
    measured = ParityVerdict(True, "not measured")
    return quantise(graphs, folder, clips, lambda _: measured, activations=activations, methods=("minmax",)).graphs


@pytest.mark.usefixtures("rtx", "no_gpu")
def test_rtx_without_a_gpu_asks_for_a_target(tiny: dict[str, GraphSet], tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(UserError, match=r"Say which GPU to build for: --target sm75\|sm80|needs pycuda or cuda-python"):
        build_engines(tiny["fp32"], "tensorrt-rtx", tmp_path, log=said.append)


@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize("target", ["sm87", "ada", ""])
def test_rtx_refuses_what_it_cannot_target(
    tiny: dict[str, GraphSet], tmp_path: Path, said: list[str], target: str
) -> None:
    with pytest.raises(UserError, match=r"does not build for|--target sm75"):
        build_engines(tiny["fp32"], "tensorrt-rtx", tmp_path, target=target, log=said.append)


@pytest.mark.usefixtures("rtx", "no_gpu")
def test_the_real_library_says_why_it_cannot_load(tiny: dict[str, GraphSet], tmp_path: Path, said: list[str]) -> None:
    """It returns None without an exception, both for a real engine without a GPU and for something else."""
    graphs = tiny["fp16"]
    record = build_engines(graphs, "tensorrt-rtx", tmp_path, target="sm89", max_exemplars=4, log=said.append)
    flavour = load_flavour("tensorrt-rtx")
    runtime = flavour.new_runtime()
    engine, damaged = tmp_path / record.files["segmenter"], tmp_path / "damaged.engine"
    damaged.write_bytes(engine.read_bytes()[100:])
    for path, reason in ((engine, "cudaError"), (damaged, "header.magicTag")):
        with pytest.raises(BackendError, match=rf"TensorRT-RTX .* cannot load .*{path.name}: .*{reason}"):
            load_engine(flavour, runtime, path, graphs.records["segmenter"], 4)


@pytest.mark.usefixtures("rtx")
def test_nodes_that_rtx_lacks_are_named(tiny: dict[str, GraphSet], tmp_path: Path, said: list[str]) -> None:
    import onnx
    from onnx import helper

    graphs = damaged_copy(tiny["fp32"], tmp_path)
    model = onnx.load(graphs.path("segmenter"))
    made = [
        helper.make_node("Det", ["made_of_nothing"], ["no_one_reads"], name="a_determinant"),
        helper.make_node("Mystery", ["features"], ["made_of_nothing"], name="an_own_operator", domain="my.own"),
    ]
    model.graph.node.extend(made[::-1])
    model.opset_import.append(helper.make_opsetid("my.own", 1))
    onnx.save(model, graphs.path("segmenter"))
    with pytest.raises(
        BackendError, match=r"cannot read .*segmenter\.onnx: .*node 'an_own_operator' \(Mystery\)"
    ) as caught:
        build_engines(graphs, "tensorrt-rtx", tmp_path, target="sm89", log=said.append)
    assert "node 'a_determinant' (Det)" in str(caught.value)
    assert any(line.startswith("segmenter: node 'an_own_operator' (Mystery): ") for line in said)
    assert not (tmp_path / "engines").exists() or files_below(tmp_path / "engines") == []


@pytest.mark.usefixtures("rtx")
def test_graphs_that_are_not_what_their_record_says_are_not_built(
    tiny: dict[str, GraphSet], tmp_path: Path, said: list[str]
) -> None:
    graphs = damaged_copy(tiny["fp32"], tmp_path)
    shutil.copyfile(graphs.path("segmenter"), graphs.path("backbone"))
    with pytest.raises(
        BackendError, match=r"has the inputs features float32 .*; the bundle's contract is clip float32"
    ):
        build_engines(graphs, "tensorrt-rtx", tmp_path, target="sm89", log=said.append)


@pytest.mark.usefixtures("rtx")
def test_a_failed_build_leaves_the_earlier_engines(tiny: dict[str, GraphSet], tmp_path: Path, said: list[str]) -> None:
    graphs = damaged_copy(tiny["fp16"], tmp_path)
    record = build_engines(graphs, "tensorrt-rtx", tmp_path, target="sm89", log=said.append)
    before = {name: (tmp_path / name).read_bytes() for name in record.files.values()}
    graphs.path("regressor").write_bytes(b"no graph")
    with pytest.raises(BackendError, match=r"cannot read .*regressor\.onnx: .*Failed to parse"):
        build_engines(graphs, "tensorrt-rtx", tmp_path, target="sm89", log=said.append)
    assert files_below(tmp_path / "engines") == sorted(name.removeprefix("engines/") for name in before)
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())


def damaged_copy(graphs: GraphSet, folder: Path) -> GraphSet:
    """A copy to be damaged."""
    copy = dataclasses.replace(graphs, folder=folder)
    for part in PARTS:
        copy.path(part).parent.mkdir(exist_ok=True)
        shutil.copyfile(graphs.path(part), copy.path(part))
    return copy


# TensorRT, by a stand-in


def test_tensorrt_builds_for_this_gpu_and_runs_it(
    tiny: dict[str, GraphSet], jetson: FakeTensorRt, tmp_path: Path, said: list[str]
) -> None:
    graphs = damaged_copy(tiny["fp16"], tmp_path)
    record = build_engines(graphs, "tensorrt", tmp_path, max_exemplars=4, log=said.append)
    assert record.name == "tensorrt-10.3.0-sm87-fp16"
    assert record.timing_cache == "engines/tensorrt-10.3.0-sm87-fp16/timing.cache"
    assert (tmp_path / record.timing_cache).read_bytes() == b"sm87+++", "each graph's timings are added"
    assert jetson.tf32_left_on == 0
    backend = TensorRtBackend(dataclasses.replace(graphs, engines=(record,)), "tensorrt")
    plain = OrtBackend(graphs, "onnxruntime", threads=1)
    tokens = np.random.default_rng(0).standard_normal((7, 9, 32)).astype(np.float32)
    for got, wanted in zip(backend.regressor(tokens[:1], tokens), plain.regressor(tokens[:1], tokens), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    backend.close()


@pytest.mark.parametrize(("version", "flag"), [("10.3.0", 1 << 1), ("10.13.3.9", 1 << 1), ("11.1.0.106", 0)])
def test_networks_keep_the_types_of_their_graphs(
    tiny: dict[str, GraphSet],
    jetson: FakeTensorRt,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    said: list[str],
    version: str,
    flag: int,
) -> None:
    """TensorRT 10 has to be told, 11 knows nothing else."""
    trt = FakeTensorRt(jetson.gpu, version)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    build_engines(tiny["fp32"], "tensorrt", tmp_path, log=said.append)
    assert trt.created_flags == [flag] * len(PARTS)


def test_an_earlier_timing_cache_is_used(
    tiny: dict[str, GraphSet], jetson: FakeTensorRt, tmp_path: Path, said: list[str]
) -> None:
    first = build_engines(tiny["fp32"], "tensorrt", tmp_path / "first", log=said.append)
    assert first.timing_cache is not None
    cache = tmp_path / "first" / first.timing_cache
    build_engines(tiny["fp32"], "tensorrt", tmp_path / "second", timing_cache=cache, log=said.append)
    assert jetson.timing_caches[3:] == [b"sm87+++", b"sm87++++", b"sm87+++++"]
    assert not any("timing cache" in line for line in said)
    cache.write_bytes(b"sm89, of another GPU")
    build_engines(tiny["fp32"], "tensorrt", tmp_path / "third", timing_cache=cache, log=said.append)
    assert jetson.timing_caches[6:] == [b"", b"sm87+", b"sm87++"]
    assert [line for line in said if "timing cache" in line] == [
        "note: the timing cache is of another version or GPU, so kernels are timed anew"
    ]


@pytest.mark.usefixtures("jetson")
def test_ctrl_c_while_the_library_works_ends_the_build(
    tiny: dict[str, GraphSet], tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python raises it in the library's log, whose bindings drop every exception."""
    build = Config.build

    def interrupted(config: Config, network: Any) -> Any:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return build(config, network)

    monkeypatch.setattr(Config, "build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_engines(tiny["fp32"], "tensorrt", tmp_path, log=said.append)
    assert said[-1] == "stopping as soon as this graph is done"
    assert files_below(tmp_path) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_tensorrt_builds_for_no_other_gpu(
    tiny: dict[str, GraphSet], jetson: FakeTensorRt, tmp_path: Path, said: list[str]
) -> None:
    build_engines(tiny["fp32"], "tensorrt", tmp_path / "here", target="sm87", log=said.append)
    with pytest.raises(BackendError, match=r"here Orin \(sm87\), not for sm89\. Run the same command on that device"):
        build_engines(tiny["fp32"], "tensorrt", tmp_path / "other", target="sm89", log=said.append)
    assert not (tmp_path / "other").exists()


def test_tensorrt_without_a_gpu_says_where_to_build(
    tiny: dict[str, GraphSet], jetson: FakeTensorRt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", FakeCudaPython(None))
    with pytest.raises(BackendError, match=r"no GPU with a driver here.*run the command there, which needs no torch"):
        build_engines(tiny["fp32"], "tensorrt", tmp_path, log=said.append)


def test_a_library_that_builds_nothing_is_quoted(
    tiny: dict[str, GraphSet], jetson: FakeTensorRt, tmp_path: Path, said: list[str]
) -> None:
    jetson.complaint = "Error Code 10: Could not find any implementation for node Conv_0"
    with pytest.raises(
        BackendError, match=r"TensorRT 10\.3\.0 cannot build the backbone: .*any implementation.*--opset"
    ):
        build_engines(tiny["fp32"], "tensorrt", tmp_path, log=said.append)
    assert "backbone: ERROR: " + jetson.complaint in said
    assert files_below(tmp_path) == []


def test_a_full_disk_leaves_nothing(
    tiny: dict[str, GraphSet], jetson: FakeTensorRt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    write = Path.write_bytes

    def no_space(path: Path, content: Any) -> int:
        if path.name == "regressor.engine":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(OSError, match="No space left"):
        build_engines(tiny["fp32"], "tensorrt", tmp_path, log=said.append)
    assert files_below(tmp_path) == []
