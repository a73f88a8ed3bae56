"""What else could score a dive on the same GPU, measured in the same run: PyTorch's ways beside the bundle's engines.

All begin with the same clip in the processor's memory and end with the score there, so that copies count for everybody.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mcore.common.errors import UserError, first_line
from mcore.network.model import MCoRe
from mcore.network.segmenter import decode_transitions
from mcore.network.stages import stage_tokens
from mcore_bench.contenders import OTHER_NETWORKS, PUBLISHED_EXEMPLARS, describe
from mcore_bench.kernels import KernelReport, account_kernels
from mcore_bench.peers import BASELINE, OTHERS_ABOUT, PeerGroups, graph_dive, other_networks, plain_export
from mcore_bench.published import PublishedProcedure
from mcore_bench.timing import Call, Effort, compare
from mcore_runtime.backends import Backend
from mcore_runtime.backends.streaming import open_graphs

OnGpu = Callable[[Tensor], Tensor]
"""A clip (1, 3, T, c, c) on the GPU to differences or features there."""
Encode = Callable[[NDArray[np.float32]], Any]
"""A clip (1, 3, T, c, c) to features."""
PLAIN = "ONNX Runtime CUDA, plain export"
EAGER, HALF, GRAPH, COMPILED = "PyTorch eager", "PyTorch eager, fp16", "PyTorch fp16, CUDA graph", "torch.compile, fp16"
_ABOUT = {
    BASELINE: "20 passes in 10 batches of two clips, both directions decoded, float32 without TF32; our own code",
    EAGER: "one pass, stored tokens of the exemplars, all in one batch; float32 without TF32",
    HALF: "the backbone in float16, channels last; the rest in float32",
    GRAPH: "the same, all of it recorded once and replayed as one CUDA graph",
    COMPILED: "the backbone in float16 compiled by TorchInductor, as a CUDA graph; compiling is not counted",
    PLAIN: "the published module exported as it is, float32; the bundle's segmenter and regressor",
    **OTHERS_ABOUT,
}


class TorchDive:
    """Scores a dive by PyTorch on the GPU.

    Args:
        model: on the GPU.
        backbone: takes clips (1, 3, T, c, c) of ``dtype``, which it may want channels last.
        dtype: of the backbone.
        tokens: of the exemplars (E, 3K, D), on the GPU.
    """

    def __init__(self, model: MCoRe, backbone: Callable[[Tensor], Tensor], dtype: torch.dtype, tokens: Tensor) -> None:
        self.model, self._backbone, self._dtype, self._tokens = model, backbone, dtype, tokens

    def features(self, clip: Tensor) -> Tensor:
        """Turn a clip (1, 3, T, c, c) on the GPU into features (1, T, D), float32."""
        if self._dtype is torch.float16:  # pixels of a frame together, which tensor cores want
            clip = clip.to(self._dtype).permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
        return self._backbone(clip).float()

    def delta(self, clip: Tensor) -> Tensor:
        """Turn a clip (1, 3, T, c, c) on the GPU into differences from all exemplars (E, 3K), points."""
        features = self.features(clip)
        transitions = decode_transitions(self.model.segmenter(features))
        tokens = stage_tokens(features, transitions, self.model.config.tokens_per_stage)
        return self.model.token_deltas(tokens.expand(len(self._tokens), -1, -1), self._tokens)


class Replay:
    """A function of one tensor as a CUDA graph.

    Args:
        function: of a tensor on the GPU; no synchronisation within.
        example: its input.

    Raises:
        RuntimeError: it cannot be captured.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], example: Tensor) -> None:
        self._input = example.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                function(self._input)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = function(self._input)

    def __call__(self, value: Tensor) -> Tensor:
        """Copy a tensor of the example's shape in, replay; the result is overwritten by the next call."""
        self._input.copy_(value)
        self._graph.replay()
        return self._output


def measure_gpu_peers(
    model: MCoRe, backends: Mapping[str, Backend], clip: NDArray[np.float32], effort: Effort, folder: Path, *,
    compiled: bool, device: str = "cuda",
) -> tuple[PeerGroups, tuple[KernelReport, ...]]:  # fmt: skip
    """Time the ways to score a dive on the GPU, and trace their kernels.

    Args:
        model: the checkpoint of the bundle; it is copied.
        backends: the bundle's that run on the GPU, by name.
        clip: (3, T, c, c), network input.
        effort: how long.
        folder: for the plain export.
        compiled: also measure ``torch.compile``, which takes a minute to start.
        device: of PyTorch; another than the GPU only tries the code.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    host, absent = torch.from_numpy(clip)[None], list[str]()
    with ExitStack() as stack, torch.no_grad():
        on_gpu = copy.deepcopy(model).to(device).eval()
        shape = (PUBLISHED_EXEMPLARS, model.config.num_tokens, model.config.backbone.feature_dim)
        tokens = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32)).to(device)
        ways = _torch_ways(on_gpu, tokens, host, absent, compiled=compiled)
        procedure = PublishedProcedure(on_gpu)
        dives: dict[str, Call] = {BASELINE: lambda: _published(procedure, host, tokens.device)}
        backbones: dict[str, Call] = {}
        for name, (delta, features) in ways.items():
            dives[name] = _from_host(delta, host, tokens.device)
            backbones[name] = _from_host(features, host, tokens.device)
        engines: dict[str, tuple[Encode, Backend]] = {}
        if (plain := _plain(model, backends, folder, stack, absent)) is not None:
            engines[PLAIN] = plain, next(iter(backends.values()))
        engines |= {name: (backend.backbone, backend) for name, backend in backends.items()}
        for name, (encode, backend) in engines.items():
            dives[name] = graph_dive(encode, backend, clip[None], tokens.cpu().numpy())
            backbones[name] = partial(encode, clip[None])
        about = {**_ABOUT, **{name: describe(each) for name, each in backends.items()}}
        there = host.to(device)
        others = {name: _done(network.to(device).eval(), there) for name, network in other_networks(on_gpu).items()}
        groups = [
            compare("dive on the GPU, from network input to score, and its peers", dives, effort, about=about,
                    baseline=BASELINE),
            compare("backbone on the GPU and its peers", backbones, effort, about=about,
                    baseline=PLAIN if PLAIN in backbones else EAGER),
            compare(f"{OTHER_NETWORKS} on the GPU, PyTorch eager, float32", others, effort, about=about),
        ]  # fmt: skip
        reports = [account_kernels(f"backbone, {name}", call) for name, call in backbones.items()]
        reports += [account_kernels(f"dive, {name}", call) for name, call in dives.items() if name != BASELINE]
    return PeerGroups(tuple(groups), tuple(absent)), tuple(report for report in reports if report is not None)


def _torch_ways(
    model: MCoRe, tokens: Tensor, host: Tensor, absent: list[str], *, compiled: bool
) -> dict[str, tuple[OnGpu, OnGpu]]:
    """By name: a clip on the GPU to differences, and to features."""
    half = copy.deepcopy(model.backbone).half().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    eager = TorchDive(model, model.backbone, torch.float32, tokens)
    in_half = TorchDive(model, half, torch.float16, tokens)
    ways: dict[str, tuple[OnGpu, OnGpu]] = {
        EAGER: (eager.delta, eager.features),
        HALF: (in_half.delta, in_half.features),
    }
    example = host.to(tokens.device)
    try:
        ways[GRAPH] = Replay(in_half.delta, example), Replay(in_half.features, example)
    except RuntimeError as error:
        absent.append(f"{GRAPH}: {first_line(error)}")
    if compiled:
        way = TorchDive(model, torch.compile(half, mode="reduce-overhead"), torch.float16, tokens)
        try:
            for _ in range(3):
                way.delta(example)
            ways[COMPILED] = way.delta, way.features
        except Exception as error:  # no compiler, or one that TorchInductor cannot use: each with an error of its own
            absent.append(f"{COMPILED}: {first_line(error)}")
    return ways


def _plain(
    model: MCoRe, backends: Mapping[str, Backend], folder: Path, stack: ExitStack, absent: list[str]
) -> Encode | None:
    if not backends:
        return None
    records = {"backbone": replace(plain_export(model, folder / "plain.onnx"), file="plain.onnx")}
    try:
        graphs = stack.enter_context(closing(open_graphs(folder, records, "onnxruntime-cuda", None)))
    except UserError as error:
        absent.append(f"{PLAIN}: {first_line(error)}")
        return None
    return lambda clip: graphs.run("backbone", {"clip": clip}, ["features"])[0]


def _published(procedure: PublishedProcedure, host: Tensor, device: torch.device) -> None:
    # One upload: the exemplars' clips count as being on the GPU already, as the stored tokens do.
    clip = host[0].to(device)
    procedure.score(clip, [clip] * PUBLISHED_EXEMPLARS, [0.0] * PUBLISHED_EXEMPLARS)


def _from_host(function: OnGpu, host: Tensor, device: torch.device) -> Call:
    return lambda: function(host.to(device)).cpu()


def _done(network: nn.Module, clip: Tensor) -> Call:
    return lambda: network(clip).sum().item()  # waits for the GPU
