"""A machine with a fake GPU and a fake TensorRT, on which bundles with engines are opened."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from mcore_runtime.backends.tensorrt.backend import TensorRtBackend
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, EngineRecord, GraphSet
from tests.runtime.fake_drivers import FakeCudaPython, FakePyCuda
from tests.runtime.fake_gpu import FakeGpu
from tests.runtime.fake_tensorrt import FakeTensorRt

MAX_EXEMPLARS = 4
"""Exemplars that the engines take at once."""
MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
MACHINES = [
    ("tensorrt", "pycuda", "10.3.0"),
    ("tensorrt", "cuda-python", "10.3.0"),
    ("tensorrt", "cuda-python", "11.1.0.106"),
    ("tensorrt-rtx", "cuda-python", "1.7.1.116"),
]


class Machine:
    """A machine with a fake GPU and a fake TensorRT."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: str, driver: str, version: str) -> None:
        self.gpu, self.kind, self.version = FakeGpu(), kind, version
        self.trt = FakeTensorRt(self.gpu, version, rtx=kind == "tensorrt-rtx")
        monkeypatch.setitem(sys.modules, MODULES[kind], self.trt)
        use_driver(monkeypatch, driver, self.gpu)

    def graphs(self, folder: Path, *, most: int = MAX_EXEMPLARS, target: str = "sm87", **changes: Any) -> GraphSet:
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
