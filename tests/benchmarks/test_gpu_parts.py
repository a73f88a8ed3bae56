"""What is measured on a GPU, with the CPU in its place: every group, limit and table, and back from the file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from mcore_bench import gpu_peers, peers, run
from mcore_bench.cli import main
from mcore_bench.kernels import Kernel, summarise_kernels
from mcore_bench.limit import Limits, Peak
from mcore_bench.result import Result, read_result
from mcore_runtime.backends.ort import OrtBackend
from mcore_runtime.bundle.folder import Bundle

pytest.importorskip("fvcore", reason="needs fvcore: pip install 'mcore-edge[bench]'")

QUICK = ("--gpu-only", "--threads", "1", "--runs", "4", "--seconds", "0", "--warm-up-s", "0", "--peer-runs", "4",
         "--no-compile", "--no-throughput", "--no-memory", "--dives", "0", "--width", "96",
         "--height", "64")  # fmt: skip


@pytest.fixture(scope="module")
def page_and_result(bundle: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Result]:
    folder = tmp_path_factory.mktemp("gpu")
    outputs = ["--json", str(folder / "run.json"), "--html", str(folder / "run.html")]
    kernels = [Kernel("conv", 0, 100), Kernel("add", 110, 120)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "GPU_BACKENDS", ("onnxruntime",))
        patch.setattr(run, "has_gpu", lambda: True)
        patch.setattr(run, "measure_gpu_limits", lambda: Limits(0, (Peak("fp32", 1e4, "here", 64),), 1e3, (), ()))
        patch.setattr(gpu_peers, "measure_gpu_peers", partial(gpu_peers.measure_gpu_peers, device="cpu"))
        patch.setattr(gpu_peers, "account_kernels", lambda name, call: summarise_kernels(name, kernels))
        for name in ("I3D", "X3D", "MobileNetV2TSM"):  # the networks themselves are tested elsewhere
            patch.setattr(peers, name, nn.Flatten)
        assert main([str(bundle), "--checkpoint", str(checkpoint), *QUICK, *outputs]) == 0
    return (folder / "run.html").read_text(), read_result(folder / "run.json")


def test_peers_steps_and_kernels_are_there(page_and_result: tuple[str, Result]) -> None:
    page, result = page_and_result
    (found,) = result.bundles
    groups = {group.title: group for group in found.groups}
    dives = groups["dive on the GPU, from network input to score, and its peers"]
    assert dives.baseline == "published procedure, PyTorch eager"
    assert {"PyTorch eager", "PyTorch eager, fp16", "onnxruntime fp32"} <= {row.name for row in dives.rows}
    assert all(row.about for row in dives.rows)
    assert [row.name for row in groups["copies and computing: regressor, onnxruntime fp32"].rows] == ["compute"]
    assert any(line.startswith("PyTorch fp16, CUDA graph: ") for line in found.absent)  # the CPU has none
    assert "backbone and its peers" not in groups  # the processor's
    assert {report.contender for report in found.kernels} >= {"backbone, PyTorch eager", "dive, onnxruntime fp32"}
    assert found.transfers["onnxruntime fp32"] == "in the tables of copies and computing"
    for text in ("longest wait us", "kernels of: backbone, PyTorch eager", "limits of the GPU", "10000"):
        assert text in page


def test_parts_stand_against_the_gpus_floor(page_and_result: tuple[str, Result]) -> None:
    found = page_and_result[1].bundles[0]
    assert found.limits is None
    assert found.gpu_limits is not None
    assert {part.part for part in found.gpu_limits.parts} == {"backbone", "segmenter", "regressor"}
    assert all(part.floor_ms > 0 for part in found.gpu_limits.parts)


def test_the_cpus_run_is_one_step(bundle: Path) -> None:
    graphs = Bundle.open(bundle).graphs("fp32")
    backend = OrtBackend(graphs, "onnxruntime", threads=1)
    clip = np.zeros(graphs.records["backbone"].inputs[0].extent(1), np.float32)
    assert list(backend.steps("backbone", clip)) == ["compute"]
    backend.close()
