"""A store of exported graphs: each network is traced to ONNX once in a test run.

Tracing takes most of an export, and most tests of exports ask for the same few graphs. The first to ask gets
what the exporter writes; the others, in whichever process, get a copy of that file. Everything that decides the
graph is in its key: classes, attributes and weights of all modules, the inputs' shapes, the record and the opset.
The rendered dives that graphs are compared on, which take most of the rest, are rendered once as well.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

import mcore_export.graphs.onnx
import mcore_export.graphs.streaming_export
from mcore.config import ClipConfig
from mcore_export.parity.expected import ParityClip, rendered_clips
from mcore_runtime.bundle.records import GraphRecord

_TORCH_OWN = {"_parameters", "_buffers", "_modules", "_flat_weights", "_flat_weight_refs"}  # by name and value below

write_onnx_anew = mcore_export.graphs.onnx.write_onnx
"""For a test that changes what no key holds, such as a function that modules call."""


def graph_key(module: nn.Module, inputs: tuple[Tensor, ...], record: GraphRecord, opset: int) -> str | None:
    """Hash all that decides what is written; None where an attribute has no lasting description."""
    parts = [repr(record), str(opset), *(f"{tuple(x.shape)} {x.dtype}" for x in inputs)]
    for name, layer in module.named_modules():
        own = {key: value for key, value in vars(layer).items() if key not in _TORCH_OWN}
        parts.append(f"{name} {type(layer).__module__}.{type(layer).__qualname__} {own!r}")
    if any(" at 0x" in line for line in parts):
        return None
    digest = hashlib.sha256("\n".join(parts).encode())
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        digest.update(f"{name} {tensor.dtype}".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def traced_once(store: Path) -> Iterator[None]:
    """Let exports within take from, and add to, a folder of graphs that other processes may use too."""
    store.mkdir(parents=True, exist_ok=True)

    def kept(module: nn.Module, inputs: tuple[Tensor, ...], record: GraphRecord, path: Path, opset: int) -> None:
        key = graph_key(module, inputs, record, opset)
        graph = store / f"{key}.onnx"
        if key is not None and graph.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(graph, path)
            return
        write_onnx_anew(module, inputs, record, path, opset)
        if key is not None:
            half = graph.with_suffix(f".{os.getpid()}")
            shutil.copyfile(path, half)
            half.replace(graph)  # whole or not there: another process may be looking

    def kept_clips(config: ClipConfig, video: Path) -> list[ParityClip]:
        folder = store / f"clips-{hashlib.sha256(repr(config).encode()).hexdigest()}"

        def render() -> None:
            clips = rendered_clips(config, folder / "video.mp4")
            frames, scores = np.stack([clip.frames for clip in clips]), np.array([clip.score for clip in clips])
            np.savez(folder / "clips.npz", frames=frames, scores=scores)

        make_once(folder, render)
        shutil.copyfile(folder / "video.mp4", video)
        with np.load(folder / "clips.npz") as kept:
            return [
                ParityClip(frames, float(score)) for frames, score in zip(kept["frames"], kept["scores"], strict=True)
            ]

    with pytest.MonkeyPatch.context() as patch:
        for module in (mcore_export.graphs.onnx, mcore_export.graphs.streaming_export):
            patch.setattr(module, "write_onnx", kept)
        patch.setattr("mcore_export.exporter.rendered_clips", kept_clips)
        # The exporter lists its operators anew for each graph, which takes as long as a small graph does.
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


def shared_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """Folder that all processes of one test run share."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared" / name


def make_once(folder: Path, make: Callable[[], object]) -> None:
    """Let the first process that asks fill a folder; the others wait for it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f"{folder.name}.made")
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a failed attempt left
            folder.mkdir()
            make()
            made.touch()
