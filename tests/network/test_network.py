"""The network against a second implementation, on every configuration that can be selected."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcore.common.errors import UserError
from mcore.config import BACKBONES, BackboneConfig, ModelConfig, ShiftKind
from mcore.network.backbone import RegNetY
from mcore.network.gated_shift import GatedShift, TemporalShift, num_shifted_channels
from mcore.network.model import MCoRe, stage_deltas
from mcore.network.segmenter import decode_transitions
from mcore.network.stages import interpolation_matrix, stage_tokens
from mcore_bench.published import PublishedBackbone, PublishedShift
from tests import reference_network

ROUNDING = 1e-4  # relative; float32 through random gates and batch-norms, which amplify it
FLOAT64 = 1e-12


def relative(a: Tensor, b: Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())


@pytest.mark.parametrize(
    ("backbone", "timm_parameters", "classes_in"),
    [("regnety_002", 3_162_996, 368), ("regnety_008", 6_263_168, 768)],
)
def test_backbone_without_shift_has_timms_size(backbone: str, timm_parameters: int, classes_in: int) -> None:
    model = RegNetY(dataclasses.replace(BACKBONES[backbone].config, shift="none"))
    head = classes_in * 1000 + 1000
    assert sum(p.numel() for p in model.parameters()) + head == timm_parameters


def test_parts_have_the_published_sizes() -> None:
    model = MCoRe()
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert counts == {
        "backbone": 2_815_598,
        "segmenter": 1_630_978,
        "decoder": 4_888_512,
        "regressor": 110_977,
    }


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("num_frames", [4, 7, 12])
def test_backbone_equals_the_literal_form(tiny_config: ModelConfig, batch: int, num_frames: int) -> None:
    model = reference_network.random_model(MCoRe(tiny_config)).double()
    clips = torch.randn(batch, 3, num_frames, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        expected = PublishedBackbone(model.backbone).double().eval()(clips)
        assert relative(model.features(clips), expected) < FLOAT64


def test_frames_mix_only_where_a_shift_is_selected(tiny_config: ModelConfig) -> None:
    clips = torch.randn(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    changed = clips.clone()
    changed[:, :, 4] += 1
    reach: dict[str, set[int]] = {}
    kinds: tuple[ShiftKind, ...] = ("gated", "tsm", "none")
    for kind in kinds:
        config = dataclasses.replace(tiny_config, backbone=dataclasses.replace(tiny_config.backbone, shift=kind))
        model = reference_network.random_model(MCoRe(config))
        with torch.no_grad():
            difference = (model.features(clips) - model.features(changed)).abs().amax(dim=(0, 2))
        reach[kind] = {int(t) for t in torch.nonzero(difference > 0)[:, 0]}
    assert reach["none"] == {4}
    assert reach["tsm"] == {1, 2, 3, 4, 5, 6, 7}  # one frame a block each way, three blocks
    assert reach["gated"] == set(range(8))  # the gate itself sees one frame further


def test_fresh_gated_shift_only_permutes() -> None:
    shift = GatedShift(32).eval()
    x = torch.randn(6, 32, 4, 4)
    assert torch.equal(shift(x, 3), x)  # the permutation lives in the next convolution's weight
    weight = torch.randn(5, 32, 1, 1)
    literal = F.conv2d(PublishedShift(shift).eval()(x, 3), weight)
    assert relative(F.conv2d(x, shift.fold_channel_order(weight)), literal) < ROUNDING


def test_temporal_shift_moves_whole_frames() -> None:
    x = torch.arange(1.0, 5.0).view(4, 1, 1, 1).expand(4, 16, 2, 2)
    out = TemporalShift(16)(x, 4)[:, :, 0, 0]
    assert out[:, 0].tolist() == [2, 3, 4, 0]
    assert out[:, 2].tolist() == [0, 1, 2, 3]
    assert out[:, 4].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("channels", "shifted"), [(32, 8), (24, 8), (56, 16), (152, 40), (368, 92), (8, 4)])
def test_shifted_channels(channels: int, shifted: int) -> None:
    assert num_shifted_channels(channels) == shifted


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_network_runs_in_any_dtype(tiny_config: ModelConfig, dtype: torch.dtype) -> None:
    model = reference_network.random_model(MCoRe(tiny_config)).to(dtype)
    encoding = model.encode(torch.randn(1, 3, 12, 32, 32))
    assert encoding.tokens.dtype == dtype
    assert torch.isfinite(model.compare(encoding.tokens, encoding.tokens)).all()


def test_frozen_batch_norm_keeps_statistics_and_trains_weights(tiny_config: ModelConfig) -> None:
    model = reference_network.random_model(MCoRe(tiny_config)).train()
    model.freeze_batch_norm()
    before = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
    model.features(torch.randn(2, 3, 12, 32, 32)).sum().backward()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    first = model.backbone.get_submodule("s1.b1.shift.bn")
    assert first.weight.grad is not None
    assert first.weight.grad.abs().sum() > 0  # type: ignore[operator]
    assert model.segmenter.dropout.training


NUM_FRAMES = 96
ALL_BOUNDARIES = [(a, b) for a in range(1, NUM_FRAMES - 1) for b in range(a + 1, NUM_FRAMES)]


@pytest.mark.parametrize("tokens_per_stage", [1, 2, 5, 7])
def test_stage_tokens_equal_torch_interpolation_for_every_pair_of_boundaries(tokens_per_stage: int) -> None:
    features = torch.randn(NUM_FRAMES, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    interpolated: dict[tuple[int, int], Tensor] = {}

    def stage(start: int, end: int) -> Tensor:
        if (start, end) not in interpolated:
            x = features[start:end].T[None]  # (1, D, length)
            out = F.interpolate(x, size=tokens_per_stage, mode="linear", align_corners=True)
            interpolated[start, end] = out[0].T
        return interpolated[start, end]

    expected = torch.stack([torch.cat([stage(0, a), stage(a, b), stage(b, NUM_FRAMES)]) for a, b in ALL_BOUNDARIES])
    batch = features.expand(len(ALL_BOUNDARIES), -1, -1)
    actual = stage_tokens(batch, torch.tensor(ALL_BOUNDARIES), tokens_per_stage)
    # Positions are float32: 2e-5 of a frame at 96 frames, times the largest step between two features.
    assert float((actual - expected).abs().max()) < 2e-4


def test_stage_tokens_of_five_are_exact_in_half_precision() -> None:
    matrix = interpolation_matrix(torch.tensor(ALL_BOUNDARIES), NUM_FRAMES, 5)
    assert torch.equal(matrix.half().float(), matrix)
    assert torch.equal(matrix.sum(2), torch.ones(len(ALL_BOUNDARIES), 15))


def test_stage_tokens_are_differentiable() -> None:
    features = torch.randn(1, 8, 3, dtype=torch.float64, requires_grad=True)
    transitions = torch.tensor([[2, 3]])
    assert torch.autograd.gradcheck(lambda x: stage_tokens(x, transitions, 3), (features,))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({5: 1.0}, {60: 1.0}, (5, 60)),
        ({0: 1.0}, {48: 1.0}, (1, 48)),  # a boundary of 0 counts as 1
        ({50: 9.0, 7: 1.0}, {3: 9.0, 95: 1.0}, (7, 95)),  # each half has its own transition
        ({4: 1.0, 9: 1.0}, {70: 1.0, 71: 1.0}, (4, 70)),  # ties take the first frame
        ({}, {}, (1, 48)),
    ],
)
def test_transitions_are_decoded_as_published(
    first: dict[int, float], second: dict[int, float], expected: tuple[int, int]
) -> None:
    logits = torch.zeros(1, NUM_FRAMES, 2)
    for channel, values in enumerate((first, second)):
        for frame, value in values.items():
            logits[0, frame, channel] = value
    assert tuple(decode_transitions(logits)[0].tolist()) == expected


def test_comparison_equals_the_literal_form(tiny_config: ModelConfig) -> None:
    model = reference_network.random_model(MCoRe(tiny_config))
    generator = torch.Generator().manual_seed(2)
    query, exemplar = torch.randn(2, 4, 9, 32, generator=generator)
    with torch.no_grad():
        expected = reference_network.compare(model, query, exemplar)
    assert relative(model.compare(query, exemplar), expected) < ROUNDING
    one_to_many = model.compare(query[:1].numpy(), exemplar.numpy())
    assert one_to_many.shape == (4,)
    assert relative(one_to_many[:1], expected[:1]) < ROUNDING


def test_training_output_agrees_with_scoring(tiny_config: ModelConfig) -> None:
    model = reference_network.random_model(MCoRe(tiny_config))
    clips = torch.randn(2, 3, 12, 32, 32, generator=torch.Generator().manual_seed(3))
    encoding = model.encode(clips)
    t = encoding.transitions
    out = model(clips[:1], clips[1:], t[:1], t[1:])
    assert relative(out.delta, model.compare(encoding.tokens[:1], encoding.tokens[1:])) < ROUNDING
    assert relative(out.reverse_delta, model.compare(encoding.tokens[1:], encoding.tokens[:1])) < ROUNDING
    assert relative(out.logits, encoding.logits) < ROUNDING


def test_stage_shares_sum_to_the_difference() -> None:
    points = torch.randn(4, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(stage_deltas(points).sum(1), points.mean(1))


def test_encode_leaves_the_mode_as_it_was(tiny_config: ModelConfig) -> None:
    model = MCoRe(tiny_config).train()
    model.freeze_batch_norm()
    modes = [module.training for module in model.modules()]
    model.encode(np.zeros((1, 3, 12, 32, 32), np.float32))
    assert [module.training for module in model.modules()] == modes


def test_encode_takes_arrays_however_they_lie_in_memory(tiny_config: ModelConfig) -> None:
    model = reference_network.random_model(MCoRe(tiny_config))
    clips = np.random.default_rng(0).normal(size=(2, 3, 12, 32, 32)).astype(np.float32)
    mirrored = clips[..., ::-1]
    read_only = mirrored.copy()
    read_only.flags.writeable = False
    channels_last = torch.from_numpy(read_only.copy()).to(memory_format=torch.channels_last_3d).requires_grad_()
    expected = model.encode(torch.from_numpy(mirrored.copy())).features
    same_clips: list[Any] = [mirrored, read_only, channels_last, mirrored.astype(np.float64)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in same_clips:
            features = model.encode(same).features
            assert torch.equal(features, expected)
            assert not features.requires_grad


@pytest.mark.parametrize(
    ("clips", "reason"),
    [
        (torch.zeros(3, 12, 32, 32), r"this network takes \(B, 3, 12, 32, 32\)"),
        (torch.zeros(1, 3, 11, 32, 32), r"this network takes \(B, 3, 12, 32, 32\)"),
        (torch.zeros(1, 3, 12, 32, 32, dtype=torch.uint8), r"type uint8; allowed: floating point. .* mcore.read_clip"),
    ],
)
def test_encode_refuses_what_is_no_clip(tiny_config: ModelConfig, clips: Tensor, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        MCoRe(tiny_config).encode(clips)


@pytest.mark.parametrize(
    ("queries", "exemplars", "reason"),
    [((1, 15, 368), (1, 15, 368), "this network's are"), ((2, 9, 32), (3, 9, 32), "2 queries against 3 exemplars")],
)
def test_compare_refuses_foreign_tokens(
    tiny_config: ModelConfig, queries: tuple[int, ...], exemplars: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        MCoRe(tiny_config).compare(torch.zeros(queries), torch.zeros(exemplars))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"widths": (16, 30)}, "not a multiple"),
        ({"widths": (16, 32, 64)}, "one entry for each stage"),
        ({"shift": "both"}, "allowed: gated, tsm, none"),
        ({"depths": (0, 1)}, "at least one block"),
    ],
)
def test_impossible_backbones_are_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        dataclasses.replace(BackboneConfig(widths=(16, 32), depths=(1, 1)), **values)  # type: ignore[arg-type]
