"""Other programs that do the same work, in the same rounds: the published procedure, PyTorch, plain exports.

All get the same clip in the processor's memory, the same exemplars and the same number of threads, and end with the
result in the processor's memory. A bundle's own backends stand beside them. The last group is about cost only: I3D,
the backbone of other methods, with random weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcore.common.errors import UserError, first_line
from mcore.network.model import MCoRe
from mcore.network.segmenter import decode_transitions
from mcore.network.stages import stage_tokens
from mcore_bench.candidates import BACKBONE_PEERS, DIVE_PEERS, PLAIN, PUBLISHED, PUBLISHED_EXEMPLARS, Candidate
from mcore_bench.i3d import I3D
from mcore_bench.published import PublishedBackbone, PublishedProcedure
from mcore_bench.timing import Call, TimingGroup, TimingSettings, compare
from mcore_export.graphs.onnx import write_onnx
from mcore_runtime.backends import Backend
from mcore_runtime.backends.streaming import open_graphs
from mcore_runtime.bundle.records import GraphRecord, standard_graphs

PUBLISHED_EVERY = 4
"""Rounds of which one has a published procedure in it, which takes longer than all others together."""
_EAGER, _COMPILED = "PyTorch eager", "torch.compile"
_ABOUT = {
    PUBLISHED: "20 passes in 10 batches of two clips, both directions decoded, float32; our own code, not the authors'",
    _EAGER: "one pass, stored tokens of the exemplars, all in one batch; the module that is trained, float32",
    _COMPILED: "the same, compiled by TorchInductor; compiling is not counted",
    f"{_EAGER}, fp16": "the same, its backbone in float16 and channels last",
    f"{_COMPILED}, fp16": "that backbone compiled by TorchInductor, as a CUDA graph; compiling is not counted",
    PLAIN: "the published module exported as it is, by the same exporter; the bundle's segmenter and regressor",
    "OpenVINO, plain export": "the same file on OpenVINO, float32",
    "I3D": "backbone of USDL, MUSDL, CoRe and TSA on the same frames; random weights, cost only",
    "RegNetY with gated shift": "this network's backbone, as it is trained",
}
_PLAIN_BACKENDS = {
    "cpu": {PLAIN: "onnxruntime", "OpenVINO, plain export": "openvino"},
    "cuda": {PLAIN: "onnxruntime-cuda"},
}

Features = Callable[[Tensor], Tensor]
"""A clip (1, 3, T, c, c) on the device to features (1, T, D) there, float32."""
Encode = Callable[[NDArray[np.float32]], Any]
"""A clip (1, 3, T, c, c) to features, both in the processor's memory."""


def measure_peers(
    model: MCoRe,
    candidates: Sequence[Candidate],
    clip: NDArray[np.float32],
    threads: int,
    settings: TimingSettings,
    folder: Path,
    *,
    compiled: bool,
    device: str = "cpu",
) -> tuple[list[TimingGroup], list[str]]:
    """Time the ways to score a dive, and the ways to run a backbone; name those that could not be measured.

    Args:
        model: the checkpoint of the bundle; it is copied.
        candidates: the bundle's on this device.
        clip: (3, T, c, c), network input.
        threads: CPU threads of each.
        settings: how long; the published procedure has its turn in every fourth round.
        folder: for the plain export.
        compiled: also measure ``torch.compile``, which takes minutes to start.
        device: ``cpu`` or ``cuda``; there PyTorch computes float32 without TF32.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    model = copy.deepcopy(model).to(device).eval()
    shape = (PUBLISHED_EXEMPLARS, model.config.num_tokens, model.config.backbone.feature_dim)
    tokens = np.random.default_rng(0).standard_normal(shape, np.float32)
    on_device, batch, host = torch.from_numpy(tokens).to(device), clip[None], torch.from_numpy(clip)[None]
    absent: list[str] = []
    with ExitStack() as stack, torch.no_grad():
        dives: dict[str, Call] = {PUBLISHED: partial(_published, PublishedProcedure(model), host[0], device)}
        backbones: dict[str, Call] = {}
        encoders = _plain_exports(model, folder, threads, device, stack, absent) if candidates else {}
        for name, encode in encoders.items():
            # The plain export is of the backbone only: the bundle's first backend does the rest.
            dives[name] = partial(_graph_dive, encode, candidates[0].scorer.backend, batch, tokens)
            backbones[name] = partial(encode, batch)
        for name, features in _torch_backbones(model, host.to(device), absent, compiled=compiled).items():
            dives[name] = partial(_torch_dive, model, features, host, on_device)
            backbones[name] = partial(_from_host, features, host, device)
        for each in candidates:
            backend = each.scorer.backend
            dives[each.name] = partial(_graph_dive, backend.backbone, backend, batch, tokens)
            backbones[each.name] = partial(backend.backbone, batch)
        others = {"RegNetY with gated shift": model.backbone, "I3D": I3D().to(device).eval()}
        costs = {name: partial(_from_host, network, host, device) for name, network in others.items()}
        about = _ABOUT | {each.name: each.about for each in candidates}
        suffix = "" if device == "cpu" else " on the GPU"
        groups = [
            compare(
                DIVE_PEERS + suffix,
                dives,
                settings,
                about=about,
                baseline=PUBLISHED,
                every={PUBLISHED: PUBLISHED_EVERY},
            ),
            compare(BACKBONE_PEERS + suffix, backbones, settings, about=about),
            compare(f"other video backbones, PyTorch eager{suffix}", costs, settings, about=about),
        ]
    return groups, absent


def plain_export(model: MCoRe, path: Path) -> GraphRecord:
    """Export the published module as it is: no folding, five dimensions, copies into slices."""
    record = standard_graphs(model.config)["backbone"]
    c = model.config.clip
    inputs = (torch.zeros(1, 3, c.num_frames, c.crop_size, c.crop_size),)
    write_onnx(PublishedBackbone(model.backbone).eval(), inputs, record, path, 18)
    return replace(record, file=path.name)


def _plain_exports(
    model: MCoRe, folder: Path, threads: int, device: str, stack: ExitStack, absent: list[str]
) -> dict[str, Encode]:
    """Open the plain export on each backend of the device."""
    record = plain_export(copy.deepcopy(model).cpu(), folder / "plain.onnx")
    found: dict[str, Encode] = {}
    for name, engine in _PLAIN_BACKENDS[device].items():
        try:
            graphs = stack.enter_context(closing(open_graphs(folder, {"backbone": record}, engine, threads)))
        except UserError as error:
            absent.append(f"{name}: {first_line(error)}")
            continue
        found[name] = partial(_run_graph, graphs)
    return found


def _run_graph(graphs: Any, clip: NDArray[np.float32]) -> Any:
    return graphs.run("backbone", {"clip": clip}, ["features"])[0]


def _torch_backbones(model: MCoRe, example: Tensor, absent: list[str], *, compiled: bool) -> dict[str, Features]:
    """PyTorch's backbones by name; on a GPU also in float16."""
    found: dict[str, Features] = {_EAGER: model.backbone}
    backbone, name, mode = model.backbone, _COMPILED, "default"
    if example.is_cuda:
        backbone = copy.deepcopy(backbone).half().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        name, mode = f"{_COMPILED}, fp16", "reduce-overhead"
        found[f"{_EAGER}, fp16"] = partial(_in_half, backbone)
    if compiled:
        inductor = torch.compile(backbone, mode=mode)
        features = partial(_in_half, inductor) if example.is_cuda else inductor
        try:
            for _ in range(3):  # a CUDA graph is recorded in the second call
                features(example)
            found[name] = features
        except Exception as error:  # no compiler, or one that TorchInductor cannot use: each with an error of its own
            absent.append(f"{name}: {first_line(error)}")
    return found


def _in_half(backbone: Features, clip: Tensor) -> Tensor:
    # Pixels of a frame together, which tensor cores want.
    half = clip.half().permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    return backbone(half).float()


def _published(procedure: PublishedProcedure, clip: Tensor, device: str) -> None:
    # One upload: the exemplars' clips count as being on the device already, as the stored tokens do.
    query = clip.to(device)
    procedure.score(query, [query] * PUBLISHED_EXEMPLARS, [0.0] * PUBLISHED_EXEMPLARS)


def _torch_dive(model: MCoRe, backbone: Features, clip: Tensor, exemplars: Tensor) -> None:
    features = backbone(clip.to(exemplars.device))
    transitions = decode_transitions(model.segmenter(features))
    tokens = stage_tokens(features, transitions, model.config.tokens_per_stage)
    model.token_deltas(tokens.expand(len(exemplars), -1, -1), exemplars).cpu()


def _graph_dive(encode: Encode, backend: Backend, clip: NDArray[np.float32], exemplars: NDArray[np.float32]) -> None:
    _, _, tokens = backend.segmenter(encode(clip))
    backend.regressor(tokens, exemplars)


def _from_host(network: Callable[[Tensor], Tensor], clip: Tensor, device: str) -> None:
    network(clip.to(device)).cpu()
