"""TensorRT engines, run for real up to the library and the driver, which are strict stand-ins where there is no GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore_runtime.backends.base import Backend, BackendError
from mcore_runtime.backends.ort import OrtBackend
from mcore_runtime.backends.tensorrt.backend import TensorRtBackend
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS
from tests.runtime.conftest import DIM, FRAMES, SIDE, TOKENS
from tests.runtime.fake_machine import MAX_EXEMPLARS, Machine


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
    for seed, exemplars in enumerate((1, 3, MAX_EXEMPLARS, 2, 2 * MAX_EXEMPLARS + 1, 1)):
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
        run_all(backend, seed, seed + MAX_EXEMPLARS)
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
