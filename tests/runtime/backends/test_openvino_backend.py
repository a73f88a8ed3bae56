"""OpenVINO computes what ONNX Runtime computes, in the precision that it says, and says what it cannot do."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.errors import MissingDependencyError
from mcore_runtime.backends import BackendError, open_backend, openvino
from mcore_runtime.backends.openvino import OpenVinoBackend
from mcore_runtime.backends.ort import OrtBackend
from mcore_runtime.bundle.records import PARTS, GraphSet, standard_graphs
from tests.runtime.conftest import DIM, FRAMES, MODEL, SIDE, TOKENS

library = pytest.importorskip("openvino", reason="needs OpenVINO: pip install '.[openvino]'")

ROUNDING = 2e-6
"""Relative to the largest value: sums of some hundred float32 numbers in another order; bfloat16 would give 4e-3."""
GROWTH_LIMIT_MB = 8
"""Memory that hundreds of calls may add: allocators keep some pages, a leak of one clip a call adds far more."""


def graphs_in(folder: Path) -> GraphSet:
    return GraphSet(folder, standard_graphs(MODEL), dict.fromkeys(PARTS, "fp32"))


@pytest.fixture
def graphs(tiny_bundle: Path) -> GraphSet:
    return graphs_in(tiny_bundle)


def alone(graphs: GraphSet, *, threads: int | None = 1) -> OpenVinoBackend:
    """All parts on OpenVINO, also where ONNX Runtime is installed."""
    return OpenVinoBackend(graphs, threads=threads, mixed=False)


@pytest.fixture
def backend(graphs: GraphSet) -> Iterator[OpenVinoBackend]:
    with closing(alone(graphs)) as engine:
        yield engine


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def assert_close(actual: Any, expected: Any) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ROUNDING * max(float(np.abs(expected).max()), 1.0))


def test_it_computes_what_onnx_runtime_computes(graphs: GraphSet, backend: OpenVinoBackend) -> None:
    with closing(OrtBackend(graphs, "onnxruntime", threads=1)) as other:
        for seed in range(3):
            clip = random(1, 3, FRAMES, SIDE, SIDE, seed=seed)
            features = other.backbone(clip)
            assert_close(backend.backbone(clip), features)
            for actual, expected in zip(backend.segmenter(features), other.segmenter(features), strict=True):
                assert_close(actual, expected)
            for exemplars in (1, 5, 2):  # the number of exemplars may change from call to call
                tokens = random(1, TOKENS, DIM, seed=seed), random(exemplars, TOKENS, DIM, seed=seed + 9)
                for actual, expected in zip(backend.regressor(*tokens), other.regressor(*tokens), strict=True):
                    assert_close(actual, expected)


def test_it_takes_clips_of_any_memory_layout_and_leaves_them_as_they_are(backend: OpenVinoBackend) -> None:
    clip = random(1, 3, FRAMES, SIDE, SIDE)
    mirrored = clip[..., ::-1]
    before = mirrored.copy()
    mirrored.flags.writeable = False
    assert_close(backend.backbone(mirrored), backend.backbone(before))
    np.testing.assert_array_equal(mirrored, before)


def test_it_reports_what_openvino_reports(graphs: GraphSet, backend: OpenVinoBackend) -> None:
    name = openvino.shared_core(library).get_property("CPU", "FULL_DEVICE_NAME")
    assert (backend.name, backend.provider) == ("openvino", f"{name}, f32")
    assert (backend.precision, backend.notes) == (graphs.precision, ())


def test_another_precision_than_the_one_asked_for_is_an_error(
    graphs: GraphSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_back = openvino._read_back
    monkeypatch.setattr(openvino, "_read_back", lambda core, compiled, asked: read_back(core, compiled, "f16"))
    with pytest.raises(BackendError, match="asked OpenVINO for f16 on CPU, got f32 on CPU for the backbone"):
        alone(graphs)


def test_half_graphs_are_said_to_be_computed_in_float32(graphs: GraphSet) -> None:
    half = dataclasses.replace(graphs, precision={**graphs.precision, "backbone": "fp16"})
    with closing(alone(half)) as engine:
        assert engine.precision["backbone"] == "fp32 (weights rounded to fp16)"
        assert engine.precision["regressor"] == "fp32"
        assert "computes fp16 graphs in float32" in engine.notes[0]


def test_onnx_runtime_runs_the_rest_where_it_is_installed(graphs: GraphSet, backend: OpenVinoBackend) -> None:
    clip = random(1, 3, FRAMES, SIDE, SIDE)
    with closing(OpenVinoBackend(graphs, threads=1)) as mixed, closing(OrtBackend(graphs, "onnxruntime")) as other:
        assert mixed.provider == f"{backend.provider}; segmenter and regressor on ONNX Runtime"
        assert (mixed.name, mixed.precision, mixed.notes) == ("openvino", graphs.precision, ())
        features = mixed.backbone(clip)
        np.testing.assert_array_equal(features, backend.backbone(clip))
        for actual, expected in zip(mixed.segmenter(features), other.segmenter(features), strict=True):
            np.testing.assert_array_equal(actual, expected)
        mixed.close()
        for call in (lambda: mixed.backbone(clip), lambda: mixed.segmenter(features)):
            with pytest.raises(RuntimeError, match="closed"):
                call()


@pytest.mark.parametrize("installed", [True, False])
def test_without_onnx_runtime_or_with_half_graphs_openvino_runs_all(
    graphs: GraphSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool
) -> None:
    if not installed:  # what an uninstalled package can leave is a folder
        (tmp_path / "leftover").mkdir()
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(openvino, "_BORROWED", "leftover")
    precision = dict.fromkeys(PARTS, "fp16") if installed else graphs.precision
    with closing(OpenVinoBackend(dataclasses.replace(graphs, precision=precision), threads=1)) as engine:
        assert engine.provider.endswith(", f32")
        assert engine.segmenter(engine.backbone(random(1, 3, FRAMES, SIDE, SIDE)))[2].shape == (1, TOKENS, DIM)


def has_bfloat16() -> bool:
    core = openvino.shared_core(library)
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
@pytest.mark.parametrize("borrowed", ["onnxruntime", "nowhere"])
def test_bfloat16_is_for_the_backbone_and_says_so(
    graphs: GraphSet, backend: OpenVinoBackend, monkeypatch: pytest.MonkeyPatch, borrowed: str
) -> None:
    monkeypatch.setattr(openvino, "_BORROWED", borrowed)
    clip = random(1, 3, FRAMES, SIDE, SIDE)
    exact = backend.backbone(clip)
    with closing(open_backend(graphs, "openvino-bf16", threads=1)) as engine:
        assert (engine.name, engine.precision["backbone"]) == ("openvino-bf16", "bf16")
        assert {engine.precision["segmenter"], engine.precision["regressor"]} == {"fp32"}
        assert ", bf16" in engine.provider
        off = np.abs(engine.backbone(clip) - exact).max() / np.abs(exact).max()
        assert 1e-4 < off < 0.05
        assert_close(engine.segmenter(exact)[2], backend.segmenter(exact)[2])
    with pytest.raises(BackendError, match="computes the fp32 graphs, not the int8 ones; leave --precision out"):
        open_backend(dataclasses.replace(graphs, variant="int8"), "openvino-bf16")


@pytest.mark.skipif(has_bfloat16(), reason="this processor has bfloat16")
def test_bfloat16_is_refused_where_the_processor_has_none(graphs: GraphSet) -> None:
    with pytest.raises(BackendError, match="asked OpenVINO for bf16 on CPU, got f32"):
        open_backend(graphs, "openvino-bf16")


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_asked_for(graphs: GraphSet, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Any]] = []
    original = openvino._read_back

    def spy(core: Any, compiled: Any, asked: str) -> str:
        names = ("INFERENCE_NUM_THREADS", "NUM_STREAMS", "ENABLE_CPU_PINNING")
        seen.extend([model.get_property(name) for name in names] for model in compiled.values())
        return original(core, compiled, asked)

    monkeypatch.setattr(openvino, "_read_back", spy)
    alone(graphs, threads=threads).close()
    assert seen == [[threads, 1, False]] * 3


def test_results_survive_the_next_call(backend: OpenVinoBackend) -> None:
    first = backend.backbone(random(1, 3, FRAMES, SIDE, SIDE))
    before = first.copy()
    backend.backbone(random(1, 3, FRAMES, SIDE, SIDE, seed=1))
    np.testing.assert_array_equal(first, before)
    first[:] = 0  # belongs to the caller


def test_memory_stays_the_same_over_many_calls(backend: OpenVinoBackend) -> None:
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        pytest.skip("memory is read from /proc, which this system does not have")

    def call(count: int) -> int:
        for i in range(count):
            backend.backbone(clip)
            backend.regressor(query, random(1 + i % 40, TOKENS, DIM))
        return int(statm.read_text().split()[1])

    clip, query = random(1, 3, FRAMES, SIDE, SIDE), random(1, TOKENS, DIM)
    pages = call(200)
    grown = (call(1500) - pages) * 4096 / 1e6
    assert grown < GROWTH_LIMIT_MB
    assert clip.nbytes * 1500 / 1e6 > 2 * GROWTH_LIMIT_MB  # so that keeping each clip would have shown


def test_a_closed_backend_refuses_calls(graphs: GraphSet) -> None:
    engine = alone(graphs)
    engine.close()
    engine.close()  # twice is once
    with pytest.raises(RuntimeError, match="closed"):
        engine.backbone(random(1, 3, FRAMES, SIDE, SIDE))


@pytest.mark.parametrize("content", [b"not a graph", b"", None])
def test_a_graph_that_cannot_be_read_is_named(bundle_copy: Path, content: bytes | None) -> None:
    graphs = graphs_in(bundle_copy)
    if content is None:
        graphs.path("segmenter").unlink()
    else:
        graphs.path("segmenter").write_bytes(content)
    with pytest.raises(BackendError, match=r"cannot load segmenter\.onnx on CPU: .*export the bundle again") as caught:
        alone(graphs)
    assert "\n" not in str(caught.value)


def test_a_graph_of_another_contract_is_refused(graphs: GraphSet) -> None:
    record = graphs.records["backbone"]
    other = dataclasses.replace(record, inputs=(dataclasses.replace(record.inputs[0], shape=(1, 3, 99, 12, 12)),))
    with pytest.raises(BackendError, match=r"backbone\.onnx has the inputs clip float32 \[1, 3, 8, 12, 12\].*99"):
        alone(dataclasses.replace(graphs, records={**graphs.records, "backbone": other}))


def test_without_openvino_it_says_what_installs_it(graphs: GraphSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"backend openvino needs .*pip install .*\[openvino\]'"):
        alone(graphs)


def test_it_loads_no_torch_and_openvino_only_when_used(graphs: GraphSet) -> None:
    """OpenVINO has a frontend for torch, which must not be touched."""
    code = (
        "import pickle, sys; sys.modules['torch'] = None\n"
        "from mcore_runtime.backends.openvino import OpenVinoBackend\n"
        "assert 'openvino' not in sys.modules\n"
        "print(OpenVinoBackend(pickle.load(sys.stdin.buffer), threads=1, mixed=False).provider)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(graphs), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.endswith(b", f32\n")


class _SignalStack(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@pytest.mark.skipif(sys.platform != "linux", reason="OpenVINO changes the stack of signal handlers on Linux only")
def test_backends_closed_in_any_order_leave_a_stack_for_signal_handlers(graphs: GraphSet) -> None:
    first = alone(graphs)
    second = alone(graphs)
    first.close()
    del first
    second.close()
    del second
    gc.collect()
    stack = _SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    maps = [line.split()[:2] for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()]
    ranges = [tuple(int(end, 16) for end in span.split("-")) for span, rights in maps if rights.startswith("rw")]
    assert any(start <= stack.start < end for start, end in ranges)
