"""Decoding in an exported graph: what PyTorch decodes, ties included, whatever the operator set and the engine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mcore.config import GraphDecoding
from mcore.network.decoding import decode_with
from mcore_export.graphs.onnx import write_onnx
from mcore_runtime.bundle.records import GraphRecord, TensorSpec

T = 9


class Decode(nn.Module):
    def __init__(self, decoding: GraphDecoding) -> None:
        super().__init__()
        self.decoding: GraphDecoding = decoding

    def forward(self, logits: Tensor) -> Tensor:
        return decode_with(self.decoding, logits)


def by_numpy(logits: NDArray[np.float32]) -> tuple[int, int]:
    """The pair with the highest sum; of equals the earliest entry, then the earliest flight."""
    best = max(logits[:t2, 0][1:].max() + logits[t2, 1] for t2 in range(2, T))
    entry = next(t2 for t2 in range(2, T) if logits[1:t2, 0].max() + logits[t2, 1] == best)
    return 1 + int(logits[1:entry, 0].argmax()), entry


@pytest.fixture(scope="module")
def logits() -> NDArray[np.float32]:
    """Every other clip has whole logits, so that many frames tie."""
    values = np.random.default_rng(0).normal(0, 2, (200, T, 2)).astype(np.float32)
    values[::2] = values[::2].round()
    return values


@pytest.mark.parametrize(
    ("decoding", "opset"), [("published", 17), ("published", 18), ("ordered", 17), ("ordered", 20)]
)
def test_graphs_decode_as_pytorch_does(
    logits: NDArray[np.float32], tmp_path: Path, decoding: GraphDecoding, opset: int
) -> None:
    path, batch = tmp_path / "decode.onnx", torch.from_numpy(logits)
    wanted = decode_with(decoding, batch).numpy()
    if decoding == "ordered":
        assert [tuple(pair) for pair in wanted.tolist()] == [by_numpy(each) for each in logits]
    specs = TensorSpec("logits", "float32", ("B", T, 2)), TensorSpec("transitions", "int64", ("B", 2))
    write_onnx(Decode(decoding), (batch[:3],), GraphRecord(path.name, specs[:1], specs[1:]), path, opset)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"logits": logits})[0], wanted)
    if importlib.util.find_spec("openvino") is not None:
        import openvino

        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        assert np.array_equal(compiled({"logits": logits})[0], wanted)
