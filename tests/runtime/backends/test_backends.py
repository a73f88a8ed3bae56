"""The choice of a backend: what ``auto`` does, and that it says so."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from mcore.common.errors import UserError
from mcore_runtime import Scorer
from mcore_runtime.backends import BackendError, open_variant, ort
from mcore_runtime.backends.tensorrt import backend as backend_module
from mcore_runtime.backends.tensorrt import devices, flavours
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, EngineRecord, GraphSet, Precision


def cuda_without_a_gpu() -> Any:
    """ONNX Runtime as onnxruntime-gpu behaves on a machine without a GPU: CUDA is listed, the CPU computes."""

    def session(path: str, options: Any, providers: list[Any], enable_fallback: int) -> Any:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    return SimpleNamespace(
        __version__=onnxruntime.__version__,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=session,
    )


def test_auto_says_that_listed_cuda_cannot_be_used(
    tiny_bundle: Path, dive_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "_import", lambda name: cuda_without_a_gpu())
    with Scorer(tiny_bundle, backend="auto") as scorer:
        result = scorer.score(dive_video, "407C")
    assert result.backend.name in ("openvino", "onnxruntime")
    assert result.notes[0].startswith("runs on the CPU: asked ONNX Runtime for CUDAExecutionProvider")


def test_a_silent_fallback_is_an_error(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "_import", lambda name: cuda_without_a_gpu())
    with pytest.raises(BackendError, match=r"asked ONNX Runtime for CUDAExecutionProvider, got CPUExecutionProvider"):
        Scorer(tiny_bundle, backend="onnxruntime-cuda")


def test_cuda_is_refused_where_it_was_not_built_in(tiny_bundle: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(BackendError, match=r"needs ONNX.*CUDAExec.*pip uninstall onnxruntime.*\[gpu\]"):
        Scorer(tiny_bundle, backend="onnxruntime-cuda")


def test_a_closed_scorer_says_so(tiny_bundle: Path, dive_video: Path) -> None:
    with Scorer(tiny_bundle, threads=1) as scorer:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        scorer.score(dive_video, "407C")


@pytest.mark.parametrize("installed", [True, False])
def test_auto_takes_openvino_where_it_is_installed(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    if installed:
        pytest.importorskip("openvino", reason="needs OpenVINO: pip install '.[openvino]'")
    else:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))
    with Scorer(tiny_bundle) as scorer:
        assert scorer.backend.name == ("openvino" if installed else "onnxruntime")


def engine(kind: str, precision: str) -> EngineRecord:
    """An engine of no machine."""
    files = {part: f"engines/x/{part}.engine" for part in PARTS}
    return EngineRecord(kind, "0.0", "sm00", precision, files, None, {}, "0" * 64, 64)


def variants(bundle: Path, *engines: EngineRecord) -> dict[Precision, GraphSet]:
    graphs = Bundle.open(bundle).graphs()
    return {
        name: dataclasses.replace(graphs, variant=name, engines=tuple(e for e in engines if e.precision == name))
        for name in ("fp32", "fp16")
    }


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was opened instead of real engines: kind and precision."""
    calls: list[tuple[str, str]] = []

    class Engine:
        def __init__(self, graphs: GraphSet, kind: str, *, notes: tuple[str, ...] = ()) -> None:
            calls.append((kind, graphs.variant))
            if kind == "tensorrt":
                raise BackendError("built for another GPU\nand more")
            self.name, self.notes = kind, notes

    monkeypatch.setattr(backend_module, "TensorRtBackend", Engine)
    return calls


def test_auto_tries_every_engine_of_the_bundle_half_precision_first(
    tiny_bundle: Path, opened: list[tuple[str, str]]
) -> None:
    built = [engine("tensorrt", "fp32"), engine("tensorrt-rtx", "fp32"), engine("tensorrt", "fp16")]
    backend, precision = open_variant(variants(tiny_bundle, *built))
    assert (backend.name, precision) == ("tensorrt-rtx", "fp32")
    assert opened == [("tensorrt", "fp16"), ("tensorrt", "fp32"), ("tensorrt-rtx", "fp32")]


def test_an_engine_that_does_not_fit_is_noted_and_the_cpu_taken(
    tiny_bundle: Path, opened: list[tuple[str, str]]
) -> None:
    backend, precision = open_variant(variants(tiny_bundle, engine("tensorrt", "fp16")))
    assert precision == "fp32"
    assert backend.notes[0] == "no fp16 tensorrt engine used: built for another GPU"
    backend.close()


@pytest.mark.parametrize("backend", ["auto", "tensorrt-rtx"])
def test_an_engine_of_another_precision_is_taken_where_it_alone_fits(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    class Engine:
        def __init__(self, graphs: GraphSet, kind: str, *, notes: tuple[str, ...] = ()) -> None:
            if graphs.variant == "fp16":
                raise BackendError("built for another GPU")
            self.notes = notes

    monkeypatch.setattr(backend_module, "TensorRtBackend", Engine)
    built = variants(tiny_bundle, engine("tensorrt-rtx", "fp16"), engine("tensorrt-rtx", "fp32"))
    found, precision = open_variant(built, backend)
    assert precision == "fp32"
    assert found.notes == ("no fp16 tensorrt-rtx engine used: built for another GPU",)
    with pytest.raises(BackendError, match="built for another GPU"):
        open_variant(variants(tiny_bundle, engine("tensorrt-rtx", "fp16")), "tensorrt-rtx")


def test_a_precision_that_was_asked_for_is_the_only_one_tried(tiny_bundle: Path, opened: list[tuple[str, str]]) -> None:
    built = variants(tiny_bundle, engine("tensorrt-rtx", "fp16"), engine("tensorrt-rtx", "fp32"))
    assert open_variant(built, precision="fp32")[1] == "fp32"
    assert open_variant(built, "tensorrt-rtx")[1] == "fp16"
    assert opened == [("tensorrt-rtx", "fp32"), ("tensorrt-rtx", "fp16")]
    with pytest.raises(UserError, match=r"no int8 graphs; it has: fp32, fp16"):
        open_variant(built, precision="int8")


def test_without_an_engine_the_backend_itself_says_how_to_build_one(
    tiny_bundle: Path, opened: list[tuple[str, str]]
) -> None:
    with pytest.raises(BackendError):
        open_variant(variants(tiny_bundle), "tensorrt")
    assert opened == [("tensorrt", "fp16")]  # the precision that --engine would build


def test_auto_says_which_engine_could_be_built_here(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flavours, "load_flavour", lambda kind: SimpleNamespace(title="TensorRT 10.3.0"))
    monkeypatch.setattr(devices, "find_gpu", lambda otherwise: ("sm87", "Orin"))
    backend, _ = open_variant(variants(tiny_bundle))
    expected = r"TensorRT 10.3.0 and Orin are here, but .* mcore-bundle engine .* --kind tensorrt --precision fp16"
    assert re.match(expected, backend.notes[0])
    backend.close()
