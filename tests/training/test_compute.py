"""Ways to compute the same training: parts of a batch, half precision, memory layout, compilation, recomputation."""

from __future__ import annotations

import copy
import dataclasses
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from mcore.common.errors import UserError
from mcore.config import BackboneConfig
from mcore.data.manifest import read_manifest, select_split
from mcore.network.model import MCoRe
from mcore.training.compute import prepare_network
from mcore.training.config import ComputeConfig, Precision, TrainingConfig
from mcore.training.loop import LossMeter, TrainingStep, make_optimizer, pair_losses, train_one_epoch
from mcore.training.losses import LOSSES, default_weights
from mcore.training.pairs import EpochBatches, PairBatch, PairDataset, pair_loader
from tests.fake_dives import CLIP, MODEL
from tests.reference_network import random_model

CPU = torch.device("cpu")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
RECIPE = TrainingConfig(learning_rate=1e-3, backbone_learning_rate=1e-3, batch_size=5)
WITHOUT_DROPOUT = dataclasses.replace(MODEL, segmenter_dropout=0.0)


@pytest.fixture(scope="module")
def batch(manifest: Path) -> PairBatch:
    """Five pairs, some with the stage points of both dives."""
    dives = select_split(read_manifest(manifest), "train")
    dives = [dives[0], *(dataclasses.replace(dive, stage_points=(-1.0, -dive.score / 4, 0.0)) for dive in dives[1:])]
    dataset = PairDataset(dives, CLIP, seed=0, flip_probability=0.5)
    first: PairBatch = next(iter(pair_loader(dataset, EpochBatches(len(dataset), 5, seed=0))))
    unknown = first.stage_points.isnan().any(1).reshape(2, -1).any(0)
    assert 0 < unknown.sum() < 5
    return first


def network(compute: ComputeConfig | None = None) -> MCoRe:
    """Random weights, gates and last batch-norm weights included, without dropout."""
    torch.manual_seed(0)
    model = random_model(MCoRe(WITHOUT_DROPOUT))
    prepare_network(model, compute or ComputeConfig(), CPU)
    return model


def gradients(model: MCoRe) -> dict[str, torch.Tensor]:
    return {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


def stepped(batch: PairBatch, compute: ComputeConfig, recipe: TrainingConfig = RECIPE) -> tuple[MCoRe, LossMeter]:
    model, meter = network(compute), LossMeter()
    optimizer = make_optimizer(model, recipe)
    train_one_epoch(TrainingStep(model, optimizer, recipe, compute), [batch], meter)
    return model, meter


def assert_close(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], tolerance: float = 1e-4) -> None:
    """Gradients agree, relative to each parameter's largest: sums in another order differ in the last digits.

    The floor is for gradients that are zero but for rounding: the segmenter's bias moves all frames' logits alike.
    """
    assert one.keys() == two.keys()
    for name, values in one.items():
        difference, largest = float((values - two[name]).abs().max()), float(two[name].abs().max())
        assert difference <= tolerance * largest + 1e-6, name


def test_the_default_is_the_plain_loop_bit_for_bit(batch: PairBatch) -> None:
    """What a step was before it had options, written out."""
    recipe = dataclasses.replace(RECIPE, gradient_clip_norm=1.0, score_scale_points=10.0)
    by_hand = network()
    by_hand.train()
    by_hand.freeze_batch_norm()
    optimizer = make_optimizer(by_hand, recipe)
    totals = []
    for _ in range(3):
        parts = pair_losses(by_hand, batch, recipe)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(parts["total"])
        nn.utils.clip_grad_norm_(by_hand.parameters(), 1.0)
        optimizer.step()
        totals.append(float(parts["total"].detach()) * batch.num_pairs)
    ours, meter = network(), LossMeter()
    train_one_epoch(TrainingStep(ours, make_optimizer(ours, recipe), recipe), [batch] * 3, meter)
    assert meter.sums["total"] == sum(totals)
    for (name, values), wanted in zip(ours.state_dict().items(), by_hand.state_dict().values(), strict=True):
        assert torch.equal(values, wanted), name


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_parts_of_a_batch_add_up_to_it(batch: PairBatch, parts: int) -> None:
    recipe = dataclasses.replace(RECIPE, loss_weights=default_weights(stage_targets=1.0))
    whole, whole_meter = stepped(batch, ComputeConfig(), recipe)
    divided, meter = stepped(batch, ComputeConfig(gradient_accumulation=parts), recipe)
    assert_close(gradients(divided), gradients(whole))
    assert meter.num_pairs == whole_meter.num_pairs == 5
    assert meter.means() == pytest.approx(whole_meter.means(), rel=1e-5)


def test_stage_points_change_training_only_where_they_have_a_weight(
    batch: PairBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    without, meter = stepped(batch, ComputeConfig())
    weights = default_weights(stage_targets=1.0)
    taught, _ = stepped(batch, ComputeConfig(), dataclasses.replace(RECIPE, loss_weights=weights))
    monkeypatch.delitem(LOSSES, "stage_targets")  # the published losses alone
    published, _ = stepped(batch, ComputeConfig())
    for name, values in published.state_dict().items():
        assert torch.equal(values, without.state_dict()[name]), name
    assert meter.means()["stage_targets"] > 0
    assert not torch.equal(taught.regressor.layer3.weight, without.regressor.layer3.weight)


def test_parts_keep_pairs_together(batch: PairBatch) -> None:
    parts = batch.split(2)
    assert [part.num_pairs for part in parts] == [3, 2]
    queries = torch.cat([part.scores[: part.num_pairs] for part in parts])
    exemplars = torch.cat([part.scores[part.num_pairs :] for part in parts])
    assert torch.equal(torch.cat([queries, exemplars]), batch.scores)
    assert len(batch.split(7)) == 5


def test_activation_checkpointing_gives_the_same_gradients(batch: PairBatch) -> None:
    kept, _ = stepped(batch, ComputeConfig())
    again, _ = stepped(batch, ComputeConfig(activation_checkpointing=True))
    for name, values in gradients(again).items():
        assert torch.equal(values, gradients(kept)[name]), name


def test_memory_layout_changes_rounding_only(batch: PairBatch) -> None:
    last, _ = stepped(batch, ComputeConfig())
    first, _ = stepped(batch, ComputeConfig(channels_last=False))
    assert_close(gradients(first), gradients(last), 1e-3)


def test_bf16_is_used_in_training_only_and_for_the_backbone_only(batch: PairBatch) -> None:
    model = network(ComputeConfig(precision="bf16")).train()
    model.freeze_batch_norm()
    seen: dict[str, torch.dtype] = {}

    def note(name: str) -> None:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            seen[name] = output.dtype

        model.get_submodule(name).register_forward_hook(hook)

    for name in ("backbone.s1.b1.conv2", "backbone", "segmenter", "regressor"):
        note(name)
    parts = pair_losses(model, batch, RECIPE)
    assert seen.pop("backbone.s1.b1.conv2") == torch.bfloat16
    assert set(seen.values()) == {torch.float32}
    plain = network().train()
    plain.freeze_batch_norm()
    exact = pair_losses(plain, batch, RECIPE)
    totals = [float(each["total"].detach()) for each in (parts, exact)]
    assert totals[0] == pytest.approx(totals[1], rel=0.05)
    assert totals[0] != totals[1]
    clips = torch.rand(2, 3, 8, 16, 16)
    assert torch.equal(model.encode(clips).features, network().encode(clips).features)


def test_bf16_steps_follow_float32(batch: PairBatch) -> None:
    exact, half = (stepped(batch, ComputeConfig(precision=name))[0] for name in PRECISIONS)
    one, two = (torch.cat([each.flatten() for each in gradients(model).values()]) for model in (exact, half))
    assert float(torch.nn.functional.cosine_similarity(one, two, dim=0)) > 0.99


def test_fp16_scales_its_loss_and_skips_a_step_that_overflows(batch: PairBatch) -> None:
    recipe, compute = dataclasses.replace(RECIPE, gradient_clip_norm=1e9), ComputeConfig(precision="fp16")
    model = network(compute)
    optimizer = make_optimizer(model, recipe)
    step = TrainingStep(model, optimizer, recipe, compute)
    assert step.scaler.is_enabled()
    model.train()
    model.freeze_batch_norm()
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    step.scaler.load_state_dict({**step.scaler.state_dict(), "scale": 1e38})
    means, _ = step(batch)
    assert torch.isfinite(torch.tensor(list(means.values()))).all()
    assert all(torch.equal(each, before[name]) for name, each in model.named_parameters())
    assert step.scaler.get_scale() == pytest.approx(0.5e38)
    step.scaler.load_state_dict({**step.scaler.state_dict(), "scale": 256.0})
    step(batch)
    exact, _ = stepped(batch, ComputeConfig(), recipe)
    one, two = (torch.cat([each.flatten() for each in gradients(each).values()]) for each in (exact, model))
    assert float(torch.nn.functional.cosine_similarity(one, two, dim=0)) > 0.99


def test_compiled_backbone_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured and split as for any compiler; what makes kernels of that is PyTorch's own, and takes minutes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    config = BackboneConfig(stem_width=8, widths=(8,), depths=(1,), shift="none")
    plain = MCoRe(dataclasses.replace(WITHOUT_DROPOUT, backbone=config)).train()
    plain.freeze_batch_norm()
    compiled = copy.deepcopy(plain)
    prepare_network(compiled, ComputeConfig(compile=True), CPU)
    clips = torch.rand(1, 3, 8, 16, 16)
    for model in (plain, compiled):
        torch.autograd.backward(model.features(clips).square().sum())
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    assert_close(gradients(compiled), gradients(plain), 1e-3)


def test_a_compiler_that_does_not_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("g++ not found\nmore")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UserError, match=r"--compile does not work on cpu: g\+\+ not found\. It needs a C\+\+ compiler"):
        prepare_network(MCoRe(MODEL), ComputeConfig(compile=True), CPU)


@pytest.mark.parametrize(
    ("compute", "recipe", "processes", "words"),
    [
        (ComputeConfig(precision="fp16"), {}, 1, "fp16 needs CUDA"),
        (ComputeConfig(gradient_accumulation=2), {"batch_norm": "trained"}, 1, "--gradient-accumulation above 1"),
        (ComputeConfig(activation_checkpointing=True), {"batch_norm": "trained"}, 1, "--activation-checkpointing"),
        (ComputeConfig(), {"batch_norm": "trained"}, 2, "several processes"),
        (ComputeConfig(gradient_accumulation=3), {"batch_size": 5}, 2, "cannot be divided among 2"),
    ],
)
def test_what_would_be_another_training_is_refused(
    compute: ComputeConfig, recipe: dict[str, object], processes: int, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        compute.check(TrainingConfig(**recipe), processes, "cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{"gradient_accumulation": 0}, {"precision": "fp8"}])
def test_values_are_checked(values: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"at least 1|bf16"):
        ComputeConfig(**values)  # type: ignore[arg-type]


def test_thirds_compare_equal_thirds_and_still_learn_transitions(batch: PairBatch, tmp_path: Path) -> None:
    model, recipe = network(), dataclasses.replace(RECIPE, stages="thirds")
    thirds = dataclasses.replace(batch, transitions=torch.tensor([[2, 5]]).expand(10, 2))
    parts, moved = pair_losses(model, batch, recipe), pair_losses(model, thirds, RECIPE)
    assert torch.equal(parts["regression"], moved["regression"])
    assert torch.equal(parts["transition"], pair_losses(model, batch, RECIPE)["transition"])
