"""The backbone in two parts computes what the whole one computes, at every place where a clip can be cut."""

from __future__ import annotations

import dataclasses
import json
import shutil
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mcore.common.errors import BundleError, UserError
from mcore.config import ModelConfig, ShiftKind
from mcore.network.model import MCoRe
from mcore_export.graphs.folded import LeanBackbone, lean_backbone
from mcore_export.graphs.streaming import BackboneHead, BackboneTail, held_frames
from mcore_export.graphs.streaming_graphs import head_frames_of, write_split
from mcore_export.parity.compare import IN_TWO_PARTS, compare
from mcore_export.parity.expected import GateClip, expect
from mcore_export.parity.golden import load_golden
from mcore_export.parity.verify import verify_bundle
from mcore_runtime.backends import BackendError, open_backend
from mcore_runtime.backends.split import SplitBackbone, open_split
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.manifest import BundleManifest
from mcore_runtime.bundle.records import GateLimits, GraphSet, Precision
from tests.reference_network import random_model

FLOAT64 = 1e-12  # of the largest feature: rounding of float64, and nothing else
ENGINES = ("onnxruntime", "openvino")


def lean(config: ModelConfig, shift: ShiftKind = "gated") -> LeanBackbone:
    """A trained-like backbone in float64: gates open, batch-norms far from the identity."""
    backbone = dataclasses.replace(config.backbone, shift=shift)
    return lean_backbone(random_model(MCoRe(dataclasses.replace(config, backbone=backbone))).double().backbone)


def clip(num_frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(1, 3, num_frames, 32, 32, generator=generator, dtype=torch.float64)


def in_two_parts(backbone: LeanBackbone, x: torch.Tensor, head_frames: int) -> torch.Tensor:
    head = BackboneHead(backbone)
    tail = BackboneTail(backbone, [part.shape for part in head.parts(x[:, :, :head_frames])])
    features: torch.Tensor = tail(x[:, :, head_frames:], head(x[:, :, :head_frames]))
    return features


@pytest.mark.parametrize("shift", ["gated", "tsm", "none"])
@torch.no_grad()
def test_both_parts_are_the_whole_wherever_it_is_cut(shift: ShiftKind, tiny_config: ModelConfig) -> None:
    backbone, x = lean(tiny_config, shift), clip(16)
    whole = backbone(x)
    held = held_frames(dataclasses.replace(tiny_config.backbone, shift=shift))
    for head_frames in range(held + 1, 16):
        off = (in_two_parts(backbone, x, head_frames) - whole).abs().max() / whole.abs().max()
        assert off < FLOAT64, head_frames


@torch.no_grad()
def test_the_tail_needs_all_that_the_head_hands_over(tiny_config: ModelConfig) -> None:
    """Otherwise equality would prove little: each part of the state moves a feature."""
    backbone, x = lean(tiny_config), clip(12)
    head = BackboneHead(backbone)
    parts = head.parts(x[:, :, :9])
    tail = BackboneTail(backbone, [part.shape for part in parts])
    state = head(x[:, :, :9])
    whole = tail(x[:, :, 9:], state)
    edges = np.cumsum([0, *(part.numel() for part in parts)]).tolist()
    for first, stop in pairwise(edges):
        changed = state.clone()
        changed[:, first:stop] += 0.1
        assert (tail(x[:, :, 9:], changed) - whole).abs().max() > 1e-6


def test_no_frame_is_computed_twice(tiny_config: ModelConfig) -> None:
    """Frames that each convolution sees, head and tail together, are those of the whole clip."""
    backbone = lean(tiny_config)
    seen: list[tuple[torch.Size, int]] = []
    handles = [
        m.register_forward_hook(lambda _, inputs, __: seen.append((inputs[0].shape[1:], len(inputs[0]))))
        for m in backbone.modules()
        if type(m).__name__ in ("FoldedConv", "BatchNorm2d")
    ]

    def frames(run: object) -> dict[torch.Size, int]:
        assert callable(run)
        seen.clear()
        with torch.no_grad():
            run()
        total: dict[torch.Size, int] = {}
        for shape, count in seen:
            total[shape] = total.get(shape, 0) + count
        return total

    x = clip(12)
    whole = frames(lambda: backbone(x))
    head = BackboneHead(backbone)
    with torch.no_grad():
        parts = head.parts(x[:, :, :9])
        state = head(x[:, :, :9])
    tail = BackboneTail(backbone, [part.shape for part in parts])
    of_head, of_tail = frames(lambda: head(x[:, :, :9])), frames(lambda: tail(x[:, :, 9:], state))
    assert {shape: of_head[shape] + of_tail[shape] for shape in whole} == whole
    for handle in handles:
        handle.remove()


def test_a_clip_that_is_too_short_is_not_split(tiny_config: ModelConfig, tmp_path: Path) -> None:
    """Six blocks reach twelve frames each way: a head of ten would finish none."""
    deep = dataclasses.replace(tiny_config, backbone=dataclasses.replace(tiny_config.backbone, depths=(2, 4)))
    said: list[str] = []
    assert head_frames_of(deep) is None
    assert write_split(MCoRe(deep).eval(), tmp_path, 18, "fp32", said.append) is None
    assert "reaches 12 others" in said[0]
    assert list(tmp_path.iterdir()) == []
    assert head_frames_of(tiny_config) == 10
    assert head_frames_of(ModelConfig()) == 80


@pytest.mark.parametrize(("precision", "opset", "tolerance"), [("fp32", 17, 1e-4), ("fp16", 18, 0.1)])
def test_exported_parts_equal_the_whole(
    precision: Precision, opset: int, tolerance: float, tiny_config: ModelConfig, tmp_path: Path
) -> None:
    model = random_model(MCoRe(tiny_config))
    split = write_split(model, tmp_path, opset, precision, lambda line: None)
    graphs = GraphSet(tmp_path, {}, {}, precision, split=split)
    noise = np.random.default_rng(0).standard_normal((1, 3, 12, 32, 32)).astype(np.float32)
    with torch.no_grad():
        whole = lean_backbone(model.backbone)(torch.from_numpy(noise)).numpy()
    assert split is not None
    for engine in ENGINES:
        pytest.importorskip(engine)
        with closing(open_split(graphs, engine, threads=1)) as parts:
            features = parts.tail(noise[:, :, parts.head_frames :], parts.head(noise[:, :, : parts.head_frames]))
        assert np.abs(features - whole).max() < tolerance * np.abs(whole).max()
    written = onnx.load(tmp_path / split.graphs["backbone_tail"].file)
    assert [o.version for o in written.opset_import] == [opset]


def test_the_bundle_carries_and_proves_both_parts(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    variant = opened.manifest.variants["fp32"]
    assert variant.split is not None
    assert {"backbone_head.onnx", "backbone_tail.onnx"} <= set(opened.manifest.files)
    rows = [row for row in variant.gate if row.part == IN_TWO_PARTS]
    assert {row.backend for row in rows} == {row.backend for row in variant.gate}
    assert {"features", "flips", "score_max"} <= {row.measure for row in rows if row.limit is not None}
    assert all(row.passed for row in rows)
    said = verify_bundle(opened, "onnxruntime", say=lambda line: None)
    assert [row.measure for row in said if row.part == IN_TWO_PARTS] == [
        row.measure for row in rows if row.backend == "onnxruntime"
    ]


def test_the_gate_sees_parts_that_do_not_fit(bundle: Path) -> None:
    """A tail that went on from another state would fail, and only in its own rows."""

    class Forgetful(SplitBackbone):
        def tail(self, last: np.ndarray, state: np.ndarray) -> np.ndarray:
            return super().tail(last, np.zeros_like(state))

    opened = Bundle.open(bundle)
    with (
        closing(open_backend(opened.graphs(), "onnxruntime")) as backend,
        closing(open_split(opened.graphs(), "onnxruntime")) as split,
    ):
        split.__class__ = Forgetful
        rows = compare(backend, load_golden(opened), GateLimits(), split)
    assert {row.part for row in rows if not row.passed} == {IN_TWO_PARTS}


def test_a_bundle_without_the_parts_still_opens(bundle: Path) -> None:
    values = json.loads((bundle / "manifest.json").read_text())
    del values["variants"]["fp32"]["split"]
    manifest = BundleManifest.from_json(values)
    assert manifest.variants["fp32"].split is None
    with pytest.raises(UserError, match="--no-split"):
        open_split(dataclasses.replace(Bundle.open(bundle).graphs(), split=None), "onnxruntime")
    with pytest.raises(BackendError, match="tensorrt does not run"):
        open_split(Bundle.open(bundle).graphs(), "tensorrt")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("head_frames",), 12),
        (("head_frames",), 9),
        (("graphs", "backbone_tail", "inputs"), []),
        (("graphs", "backbone_head", "outputs"), []),
        (("graphs",), {}),
    ],
)
def test_parts_that_contradict_the_network_are_refused(bundle: Path, path: tuple[str, ...], value: object) -> None:
    values = json.loads((bundle / "manifest.json").read_text())
    split = values["variants"]["fp32"]["split"]
    for key in path[:-1]:
        split = split[key]
    split[path[-1]] = value
    with pytest.raises(BundleError, match="export it again"):
        BundleManifest.from_json(values)


def test_a_missing_part_is_missed(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / "backbone_tail.onnx").unlink()
    with pytest.raises(BundleError, match=r"backbone_tail\.onnx is missing"):
        Bundle.open(copy)


def test_noise_is_encoded_alike(tiny_config: ModelConfig, bundle: Path) -> None:
    """Clips that no rendering made, and frames that repeat, as a short clip's do."""
    model = random_model(MCoRe(tiny_config))
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8) for _ in range(3)]
    frames[1] = np.repeat(frames[1][::2], 2, axis=0)
    expected = expect(model, [GateClip(clip_frames, 50.0) for clip_frames in frames])
    graphs = Bundle.open(bundle).graphs()
    with (
        closing(open_backend(graphs, "onnxruntime", threads=1)) as backend,
        closing(open_split(graphs, "onnxruntime", threads=1)) as split,
    ):
        assert [row for row in compare(backend, expected, GateLimits(), split) if not row.passed] == []
