"""The streaming backbone computes what the whole one computes, at every place where a clip can be cut."""

from __future__ import annotations

import dataclasses
import json
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
from mcore_export.graphs.folded import FoldedBackbone, folded_backbone
from mcore_export.graphs.streaming import BackbonePrefix, BackboneSuffix, held_frames
from mcore_export.graphs.streaming_export import prefix_frames_of, write_streaming
from mcore_export.parity.compare import IN_TWO_PARTS, compare
from mcore_export.parity.expected import ParityClip, expect
from mcore_export.parity.golden import load_golden
from mcore_export.parity.limits import DEFAULT_LIMITS
from mcore_export.parity.verify import verify_bundle
from mcore_runtime.backends import BackendError, open_backend
from mcore_runtime.backends.streaming import StreamingBackbone, open_streaming
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.manifest import BundleManifest
from mcore_runtime.bundle.records import GraphSet, Precision
from tests.reference_network import random_model

FLOAT64 = 1e-12  # of the largest feature: rounding of float64, and nothing else
ENGINES = ("onnxruntime", "openvino")


def folded(config: ModelConfig, shift: ShiftKind = "gated") -> FoldedBackbone:
    """A trained-like backbone in float64: gates open, batch-norms far from the identity."""
    backbone = dataclasses.replace(config.backbone, shift=shift)
    return folded_backbone(random_model(MCoRe(dataclasses.replace(config, backbone=backbone))).double().backbone)


def clip(num_frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(1, 3, num_frames, 32, 32, generator=generator, dtype=torch.float64)


def in_two_parts(backbone: FoldedBackbone, x: torch.Tensor, prefix_frames: int) -> torch.Tensor:
    prefix = BackbonePrefix(backbone)
    suffix = BackboneSuffix(backbone, [part.shape for part in prefix.parts(x[:, :, :prefix_frames])])
    features: torch.Tensor = suffix(x[:, :, prefix_frames:], prefix(x[:, :, :prefix_frames]))
    return features


@pytest.mark.parametrize("shift", ["gated", "tsm", "none"])
@torch.no_grad()
def test_both_parts_are_the_whole_wherever_it_is_cut(shift: ShiftKind, tiny_config: ModelConfig) -> None:
    backbone, x = folded(tiny_config, shift), clip(16)
    whole = backbone(x)
    held = held_frames(dataclasses.replace(tiny_config.backbone, shift=shift))
    for prefix_frames in range(held + 1, 16):
        off = (in_two_parts(backbone, x, prefix_frames) - whole).abs().max() / whole.abs().max()
        assert off < FLOAT64, prefix_frames


@torch.no_grad()
def test_the_suffix_needs_all_that_the_prefix_hands_over(tiny_config: ModelConfig) -> None:
    """Otherwise equality would prove little: each part of the state moves a feature."""
    backbone, x = folded(tiny_config), clip(12)
    prefix = BackbonePrefix(backbone)
    parts = prefix.parts(x[:, :, :9])
    suffix = BackboneSuffix(backbone, [part.shape for part in parts])
    state = prefix(x[:, :, :9])
    whole = suffix(x[:, :, 9:], state)
    edges = np.cumsum([0, *(part.numel() for part in parts)]).tolist()
    for first, stop in pairwise(edges):
        changed = state.clone()
        changed[:, first:stop] += 0.1
        assert (suffix(x[:, :, 9:], changed) - whole).abs().max() > 1e-6


def test_no_frame_is_computed_twice(tiny_config: ModelConfig) -> None:
    """Frames that each convolution sees, prefix and suffix together, are those of the whole clip."""
    backbone = folded(tiny_config)
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
    prefix = BackbonePrefix(backbone)
    with torch.no_grad():
        parts = prefix.parts(x[:, :, :9])
        state = prefix(x[:, :, :9])
    suffix = BackboneSuffix(backbone, [part.shape for part in parts])
    of_prefix, of_suffix = frames(lambda: prefix(x[:, :, :9])), frames(lambda: suffix(x[:, :, 9:], state))
    assert {shape: of_prefix[shape] + of_suffix[shape] for shape in whole} == whole
    for handle in handles:
        handle.remove()


def test_a_clip_that_is_too_short_has_none(tiny_config: ModelConfig, tmp_path: Path) -> None:
    """Six blocks reach twelve frames each way: a prefix of ten would finish none."""
    deep = dataclasses.replace(tiny_config, backbone=dataclasses.replace(tiny_config.backbone, depths=(2, 4)))
    said: list[str] = []
    assert prefix_frames_of(deep) is None
    assert write_streaming(MCoRe(deep).eval(), tmp_path, 18, "fp32", said.append) is None
    assert "reaches 12 others" in said[0]
    assert list(tmp_path.iterdir()) == []
    assert prefix_frames_of(tiny_config) == 10
    assert prefix_frames_of(ModelConfig()) == 80


@pytest.mark.parametrize(("precision", "opset", "tolerance"), [("fp32", 17, 1e-4), ("fp16", 18, 0.1)])
def test_exported_parts_equal_the_whole(
    precision: Precision, opset: int, tolerance: float, tiny_config: ModelConfig, tmp_path: Path
) -> None:
    model = random_model(MCoRe(tiny_config))
    record = write_streaming(model, tmp_path, opset, precision, lambda line: None)
    graphs = GraphSet(tmp_path, {}, {}, precision, streaming=record)
    noise = np.random.default_rng(0).standard_normal((1, 3, 12, 32, 32)).astype(np.float32)
    with torch.no_grad():
        whole = folded_backbone(model.backbone)(torch.from_numpy(noise)).numpy()
    assert record is not None
    for engine in ENGINES:
        pytest.importorskip(engine)
        with closing(open_streaming(graphs, engine, threads=1)) as parts:
            features = parts.suffix(
                noise[:, :, parts.prefix_frames :], parts.prefix(noise[:, :, : parts.prefix_frames])
            )
        assert np.abs(features - whole).max() < tolerance * np.abs(whole).max()
    written = onnx.load(tmp_path / record.graphs["backbone_suffix"].file)
    assert [o.version for o in written.opset_import] == [opset]


def test_the_bundle_carries_and_proves_both_parts(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    variant = opened.manifest.variants["fp32"]
    assert variant.streaming is not None
    assert {"backbone_prefix.onnx", "backbone_suffix.onnx"} <= set(opened.manifest.files)
    rows = [row for row in variant.parity if row.part == IN_TWO_PARTS]
    assert {row.backend for row in rows} == {row.backend for row in variant.parity}
    assert {"features", "flips", "score_max"} <= {row.measure for row in rows if row.limit is not None}
    assert all(row.passed for row in rows)
    said = verify_bundle(opened, "onnxruntime", log=lambda line: None)
    assert [row.measure for row in said if row.part == IN_TWO_PARTS] == [
        row.measure for row in rows if row.backend == "onnxruntime"
    ]


def test_parity_sees_parts_that_do_not_fit(bundle: Path) -> None:
    """A suffix that went on from another state would fail, and only in its own rows."""

    class Forgetful(StreamingBackbone):
        def suffix(self, last: np.ndarray, state: np.ndarray) -> np.ndarray:
            return super().suffix(last, np.zeros_like(state))

    opened = Bundle.open(bundle)
    with (
        closing(open_backend(opened.graphs(), "onnxruntime")) as backend,
        closing(open_streaming(opened.graphs(), "onnxruntime")) as streaming,
    ):
        streaming.__class__ = Forgetful
        rows = compare(backend, load_golden(opened), DEFAULT_LIMITS["fp32"], streaming)
    assert {row.part for row in rows if not row.passed} == {IN_TWO_PARTS}


def test_a_bundle_without_the_parts_still_opens(bundle: Path) -> None:
    values = json.loads((bundle / "manifest.json").read_text())
    del values["variants"]["fp32"]["streaming"]
    manifest = BundleManifest.from_json(json.dumps(values))
    assert manifest.variants["fp32"].streaming is None
    with pytest.raises(UserError, match="--no-streaming"):
        open_streaming(dataclasses.replace(Bundle.open(bundle).graphs(), streaming=None), "onnxruntime")
    with pytest.raises(BackendError, match="tensorrt does not run"):
        open_streaming(Bundle.open(bundle).graphs(), "tensorrt")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("prefix_frames",), 12),
        (("prefix_frames",), 9),
        (("graphs", "backbone_suffix", "inputs"), []),
        (("graphs", "backbone_prefix", "outputs"), []),
        (("graphs",), {}),
    ],
)
def test_parts_that_contradict_the_network_are_refused(bundle: Path, path: tuple[str, ...], value: object) -> None:
    values = json.loads((bundle / "manifest.json").read_text())
    record = values["variants"]["fp32"]["streaming"]
    for key in path[:-1]:
        record = record[key]
    record[path[-1]] = value
    with pytest.raises(BundleError, match="export it again"):
        BundleManifest.from_json(json.dumps(values))


def test_noise_is_encoded_alike(tiny_config: ModelConfig, bundle: Path) -> None:
    """Clips that no rendering made, and frames that repeat, as a short clip's do."""
    model = random_model(MCoRe(tiny_config))
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8) for _ in range(3)]
    frames[1] = np.repeat(frames[1][::2], 2, axis=0)
    expected = expect(model, [ParityClip(clip_frames, 50.0) for clip_frames in frames])
    graphs = Bundle.open(bundle).graphs()
    with (
        closing(open_backend(graphs, "onnxruntime", threads=1)) as backend,
        closing(open_streaming(graphs, "onnxruntime", threads=1)) as streaming,
    ):
        assert [row for row in compare(backend, expected, DEFAULT_LIMITS["fp32"], streaming) if not row.passed] == []
