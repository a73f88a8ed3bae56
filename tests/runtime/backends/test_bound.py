"""Sessions with places of their own in a device's memory: on the CPU, on a CUDA of our own, and on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from mcore_runtime.backends import BackendError, open_backend, ort
from mcore_runtime.backends.bound import BoundSession
from mcore_runtime.backends.ort import OrtBackend
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, GraphSet
from tests.hardware import needs_gpu


@pytest.fixture(scope="module")
def graphs(tiny_bundle: Path) -> GraphSet:
    return Bundle.open(tiny_bundle).graphs("fp32")


def inputs_of(graphs: GraphSet, part: str, seed: int, count: int = 3) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        spec.name: generator.standard_normal(spec.extent(count)).astype(spec.dtype)
        for spec in graphs.records[part].inputs
    }


def session_of(graphs: GraphSet, part: str) -> Any:
    path = graphs.folder / graphs.records[part].file
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("part", PARTS)
def test_it_computes_what_a_plain_run_does(graphs: GraphSet, part: str) -> None:
    session, record = session_of(graphs, part), graphs.records[part]
    bound = BoundSession(onnxruntime, session, record, "cpu")
    assert bound.is_dynamic is (part == "regressor")
    names = [spec.name for spec in record.outputs][::-1]
    for seed, count in enumerate((3, 5, 3)):
        inputs = inputs_of(graphs, part, seed, count)
        for got, wanted in zip(bound.run(inputs, names), session.run(names, inputs), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_another_shape_or_type_is_refused_before_it_is_copied(graphs: GraphSet) -> None:
    bound = BoundSession(onnxruntime, session_of(graphs, "backbone"), graphs.records["backbone"], "cpu")
    clip = inputs_of(graphs, "backbone", 0)["clip"]
    with pytest.raises(ValueError, match=r"clip is float32 \[1, 3, 1, .*expected float32 \[1, 3, "):
        bound.run({"clip": clip[:, :, :1]}, ["features"])
    with pytest.raises(ValueError, match="clip is float64 "):
        bound.run({"clip": clip.astype(np.float64)}, ["features"])


class Session:
    """A session of the CPU that calls itself one of CUDA, and may replay badly."""

    def __init__(self, path: str, options: dict[str, str], fault: str) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.captured = options.get("enable_cuda_graph") == "1"
        self._fault, self._runs = fault, 0
        if self.captured and fault == "refused":
            raise RuntimeError("[ONNXRuntimeError] not all nodes are on CUDA\nmore")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def disable_fallback(self) -> None:
        pass

    def run_with_iobinding(self, binding: Any) -> None:
        if self._fault == "no kernels":
            raise RuntimeError("no kernel image is available for execution on the device\nmore")
        self._runs += 1
        if not (self.captured and self._fault == "stale" and self._runs > 1):
            self._session.run_with_iobinding(binding)


class Cuda:
    """onnxruntime-gpu on a machine with a GPU, as far as the backend sees it."""

    def __init__(self, fault: str = "") -> None:
        self.opened: list[tuple[str, Session]] = []
        self.module = SimpleNamespace(
            __version__=onnxruntime.__version__,
            get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
            SessionOptions=onnxruntime.SessionOptions,
            InferenceSession=self.open,
            OrtValue=SimpleNamespace(ortvalue_from_shape_and_type=self.value),
        )
        self._fault = fault

    def open(self, path: str, options: Any, providers: list[Any], enable_fallback: int) -> Session:
        assert enable_fallback == 0
        assert providers[0][1]["use_tf32"] == "0"
        session = Session(path, providers[0][1], self._fault if "segmenter" in path else "")
        self.opened.append((Path(path).stem, session))
        return session

    def value(self, shape: Any, dtype: Any, device: str, index: int) -> Any:
        assert (device, index) == ("cuda", 0)
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cpu", 0)


@pytest.fixture
def backends(graphs: GraphSet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    opened: list[OrtBackend] = []

    def make(cuda: Cuda) -> OrtBackend:
        monkeypatch.setattr(ort, "_import", lambda name: cuda.module)
        opened.append(OrtBackend(graphs, "onnxruntime-cuda"))
        return opened[-1]

    yield make
    for backend in opened:
        backend.close()


def check_whole_chain(backend: Any, graphs: GraphSet) -> None:
    reference = {part: session_of(graphs, part) for part in PARTS}
    clip = inputs_of(graphs, "backbone", 7)["clip"]
    features = backend.backbone(clip)
    np.testing.assert_allclose(features, reference["backbone"].run(None, {"clip": clip})[0], atol=1e-3)
    wanted = reference["segmenter"].run(["logits", "transitions", "tokens"], {"features": features})
    for got, expected in zip(backend.segmenter(features), wanted, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-3)
    tokens = wanted[2]
    for count in (4, 1):
        exemplars = np.repeat(tokens, count, 0) + 1
        delta, stages = backend.regressor(tokens, exemplars)
        wanted = reference["regressor"].run(["delta", "stage_deltas"], {"query": tokens, "exemplars": exemplars})
        np.testing.assert_allclose(delta, wanted[0], atol=1e-2)
        np.testing.assert_allclose(stages, wanted[1], atol=1e-2)


def test_a_build_without_kernels_for_this_gpu_is_refused_at_once(backends: Any, graphs: GraphSet) -> None:
    with pytest.raises(BackendError, match="loads the graphs, but cannot run them on this GPU: no kernel image"):
        backends(Cuda("no kernels"))


def test_graphs_of_fixed_shape_are_captured(backends: Any, graphs: GraphSet) -> None:
    cuda = Cuda()
    backend = backends(cuda)
    assert [(name, session.captured) for name, session in cuda.opened] == [
        ("backbone", False), ("backbone", True), ("segmenter", False), ("segmenter", True), ("regressor", False)
    ]  # fmt: skip
    assert backend.notes == ()
    check_whole_chain(backend, graphs)


def test_another_thread_than_the_one_that_opened_it_is_refused(backends: Any, graphs: GraphSet) -> None:
    backend = backends(Cuda())
    clip = inputs_of(graphs, "backbone", 0)["clip"]
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(RuntimeError, match=r"backbone\.onnx was opened on cuda in another"),
    ):
        pool.submit(backend.backbone, clip).result()


@pytest.mark.parametrize(("fault", "reason"), [("refused", "not all nodes are on CUDA"), ("stale", "other values")])
def test_a_capture_that_fails_or_repeats_itself_is_dropped_and_said(
    backends: Any, graphs: GraphSet, fault: str, reason: str
) -> None:
    backend = backends(Cuda(fault))
    (note,) = backend.notes
    assert note.startswith("segmenter.onnx does not run as one CUDA graph")
    assert reason in note
    check_whole_chain(backend, graphs)


@needs_gpu(onnxruntime_gpu=True)
def test_a_gpu_computes_the_same(graphs: GraphSet) -> None:
    backend = OrtBackend(graphs, "onnxruntime-cuda")
    assert backend.notes == ()
    check_whole_chain(backend, graphs)
    backend.close()
    assert open_backend(graphs, "auto").name == "onnxruntime-cuda"
