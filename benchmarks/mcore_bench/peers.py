"""What else could do the same work, measured in the same run: the published procedure, PyTorch's ways, plain exports.

All get the same clip, the same exemplars and the same number of threads, and have their turns in one round. A bundle's
own backends stand beside them. The last group is about cost only: other methods' backbones with random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mcore.common.errors import first_line
from mcore.network.model import MCoRe
from mcore.network.segmenter import decode_transitions
from mcore.network.stages import stage_tokens
from mcore_bench.contenders import BACKBONE_PEERS, DIVE_PEERS, OTHER_NETWORKS, PLAIN, PUBLISHED_EXEMPLARS, describe
from mcore_bench.published import PublishedBackbone, PublishedProcedure
from mcore_bench.timing import Call, Effort, Group, compare
from mcore_bench.video_networks import I3D, X3D, MobileNetV2TSM
from mcore_export.backends import cpu_backends
from mcore_export.graphs.onnx import write_onnx
from mcore_runtime.backends import Backend
from mcore_runtime.backends.streaming import LoadedGraphs, open_graphs
from mcore_runtime.bundle.records import GraphRecord, standard_graphs

BASELINE = "published procedure, PyTorch eager"
PUBLISHED_EVERY = 4
"""Rounds of which one has a published procedure in it, which takes longer than all others together."""
OTHERS_ABOUT = {
    "I3D": "backbone of USDL, MUSDL, CoRe and TSA on the same frames; random weights, cost only",
    "X3D-M": "on the same frames; random weights, cost only",
    "MobileNetV2 with TSM": "on the same frames; random weights, cost only",
    "RegNetY with gated shift": "this network's backbone, as it is trained",
}
"""What ``other_networks`` are."""
_ABOUT = {
    BASELINE: "20 passes in 10 batches of two clips, both directions decoded, float32; our own code, not the authors'",
    "PyTorch eager": "one pass, stored tokens of the exemplars, all in one batch; the module that is trained",
    "torch.compile": "the same, compiled by TorchInductor; compiling is not counted",
    PLAIN: "the published module exported as it is, by the same exporter; the bundle's segmenter and regressor",
    "OpenVINO, plain export": "the same file on OpenVINO, float32",
    **OTHERS_ABOUT,
}


@dataclass(frozen=True)
class PeerGroups:
    """What was measured, and what could not be."""

    groups: tuple[Group, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class _Work:
    """The same dive for everybody."""

    clip: NDArray[np.float32]
    """(1, 3, T, c, c)."""
    exemplar_clips: list[Tensor]
    tokens: NDArray[np.float32]
    """(E, 3K, D)."""


def measure_peers(
    model: MCoRe, backends: Mapping[str, Backend], clip: NDArray[np.float32], threads: int, effort: Effort,
    folder: Path, *, compiled: bool,
) -> PeerGroups:  # fmt: skip
    """Time the ways to score a dive, and the ways to run a backbone.

    Args:
        model: the checkpoint of the bundle.
        backends: the bundle's, by name.
        clip: (3, T, c, c), network input.
        threads: CPU threads of each.
        effort: how long; the published procedure has its turn in every fourth round.
        folder: for the plain export.
        compiled: also measure ``torch.compile``, which takes minutes to start.
    """
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    shape = (PUBLISHED_EXEMPLARS, model.config.num_tokens, model.config.backbone.feature_dim)
    query = torch.from_numpy(clip)
    work = _Work(clip[None], [query] * PUBLISHED_EXEMPLARS, rng.standard_normal(shape, np.float32))
    absent: list[str] = []
    with ExitStack() as stack, torch.no_grad():
        plain = {name: stack.enter_context(opened) for name, opened in _plain_exports(model, folder, threads)}
        eager: dict[str, Callable[[Tensor], Tensor]] = {"PyTorch eager": model.backbone}
        if compiled:
            _add_compiled(model, query, eager, absent)
        runs: dict[str, Callable[[NDArray[np.float32]], Any]] = {}
        for name, graphs in plain.items():
            runs[name] = _runs(graphs)
        backbones = {name: _bind(run, work.clip) for name, run in runs.items()}
        backbones |= {name: _bind(module, torch.from_numpy(work.clip)) for name, module in eager.items()}
        backbones |= {name: _bind(each.backbone, work.clip) for name, each in backends.items()}
        procedure = PublishedProcedure(model)
        dives: dict[str, Call] = {
            BASELINE: lambda: procedure.score(query, work.exemplar_clips, [0.0] * len(work.exemplar_clips))
        }
        dives |= {name: _eager_dive(model, module, work) for name, module in eager.items()}
        first = next(iter(backends.values()))
        dives |= {name: graph_dive(run, first, work.clip, work.tokens) for name, run in runs.items()}
        dives |= {name: graph_dive(each.backbone, each, work.clip, work.tokens) for name, each in backends.items()}
        others = {name: _bind(network.eval(), query[None]) for name, network in other_networks(model).items()}
        about = {**_ABOUT, **{name: describe(each) for name, each in backends.items()}}
        groups = [
            compare(
                DIVE_PEERS, dives, effort, about=about, baseline=BASELINE, every={BASELINE: PUBLISHED_EVERY},
            ),
            compare(BACKBONE_PEERS, backbones, effort, about=about, baseline=PLAIN),
            compare(f"{OTHER_NETWORKS}, PyTorch eager", others, effort, about=about),
        ]  # fmt: skip
    return PeerGroups(tuple(groups), tuple(absent))


def plain_export(model: MCoRe, path: Path) -> GraphRecord:
    """Export the published module as it is: no folding, five dimensions, copies into slices."""
    record = standard_graphs(model.config)["backbone"]
    c = model.config.clip
    inputs = (torch.zeros(1, 3, c.num_frames, c.crop_size, c.crop_size),)
    write_onnx(PublishedBackbone(model.backbone).eval(), inputs, record, path, 18)
    return record


def _plain_exports(model: MCoRe, folder: Path, threads: int) -> Iterator[tuple[str, Any]]:
    record = plain_export(model, folder / "plain.onnx")
    graphs = {"backbone": replace(record, file="plain.onnx")}
    for name, backend in ((PLAIN, "onnxruntime"), ("OpenVINO, plain export", "openvino")):
        if backend in cpu_backends():
            yield name, closing(open_graphs(folder, graphs, backend, threads))


def _runs(graphs: LoadedGraphs) -> Callable[[NDArray[np.float32]], Any]:
    return lambda clip: graphs.run("backbone", {"clip": clip}, ["features"])[0]


def _bind(function: Callable[[Any], Any], value: Any) -> Call:
    return lambda: function(value)


def _eager_dive(model: MCoRe, backbone: Callable[[Tensor], Tensor], work: _Work) -> Call:
    clip, exemplars = torch.from_numpy(work.clip), torch.from_numpy(work.tokens)

    def run() -> None:
        features = backbone(clip)
        transitions = decode_transitions(model.segmenter(features))
        tokens = stage_tokens(features, transitions, model.config.tokens_per_stage)
        model.token_deltas(tokens.expand(len(exemplars), -1, -1), exemplars)

    return run


def graph_dive(
    backbone: Callable[[NDArray[np.float32]], Any],
    backend: Backend,
    clip: NDArray[np.float32],
    exemplars: NDArray[np.float32],
) -> Call:
    """Score a clip (1, 3, T, c, c) against tokens (E, 3K, D): a backbone of one's own, the rest by a backend."""

    def run() -> None:
        _, _, tokens = backend.segmenter(backbone(clip))
        backend.regressor(tokens, exemplars)

    return run


def _add_compiled(model: MCoRe, query: Tensor, eager: dict[str, Callable[[Tensor], Tensor]], absent: list[str]) -> None:
    compiled = torch.compile(model.backbone)
    try:
        compiled(query[None])
    except Exception as error:  # no compiler, or one that TorchInductor cannot use: each with an error of its own
        absent.append(f"torch.compile: {first_line(error)}")
        return
    eager["torch.compile"] = compiled


def other_networks(model: MCoRe) -> dict[str, nn.Module]:
    """Video backbones of other methods with random weights, and this network's."""
    return {
        "RegNetY with gated shift": model.backbone,
        "I3D": I3D(),
        "X3D-M": X3D(),
        "MobileNetV2 with TSM": MobileNetV2TSM(),
    }
