"""The training step and the evaluation against their definitions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mcore.common.errors import UserError
from mcore.data.manifest import DiveRecord, read_manifest, select_split
from mcore.evaluation.clips import normalise
from mcore.evaluation.scoring import plan_scoring, predict
from mcore.network.model import MCoRe
from mcore.training.config import PRESETS, BatchNormMode, TrainingConfig
from mcore.training.loop import (
    LossMeter,
    TrainingStep,
    estimate_batch_norm,
    learning_rate_factor,
    make_optimizer,
    pair_losses,
    scale_last_layer,
    train_one_epoch,
)
from mcore.training.losses import default_weights, loss_names
from mcore.training.pairs import EpochBatches, PairBatch, PairDataset, pair_loader
from mcore.video import read_clip
from tests.fake_dives import CLIP, MODEL

PUBLISHED = TrainingConfig()


@pytest.fixture(scope="module")
def records(manifest: Path) -> list[DiveRecord]:
    return read_manifest(manifest)


@pytest.fixture(scope="module")
def batches(records: list[DiveRecord]) -> list[PairBatch]:
    dataset = PairDataset(select_split(records, "train"), CLIP, seed=0, flip_probability=0.5)
    return list(pair_loader(dataset, EpochBatches(len(dataset), 4, seed=0)))


@pytest.fixture
def model() -> MCoRe:
    torch.manual_seed(0)
    return MCoRe(MODEL)


def test_paper_is_the_published_recipe() -> None:
    recipe = PRESETS["paper"].training
    published = {
        "epochs": 200, "batch_size": 8, "learning_rate": 1e-3, "backbone_learning_rate": 1e-4,
        "schedule": "constant", "warmup_steps": 0, "gradient_clip_norm": None, "batch_norm": "frozen",
        "score_scale_points": 1.0,
        "loss_weights": {
            "regression": 1.0, "transition": 1.0, "contrastive": 10.0, "stage_targets": 0.0, "fault_targets": 0.0
        },
        "flip_probability": 0.5, "num_exemplars": 10,
    }  # fmt: skip
    assert {name: getattr(recipe, name) for name in published} == published
    assert PRESETS["paper"].model.clip.num_frames == 96


def test_optimizer_has_the_published_rates_and_every_parameter_once(model: MCoRe) -> None:
    optimizer = make_optimizer(model, PUBLISHED)
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-4, 1e-3, 1e-3]
    assert all(group["weight_decay"] == 0 for group in optimizer.param_groups)
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())


def test_total_loss_is_the_weighted_sum(model: MCoRe, batches: list[PairBatch]) -> None:
    parts = pair_losses(model.eval(), batches[0], PUBLISHED)
    expected = parts["regression"] + parts["transition"] + 10 * parts["contrastive"]
    torch.testing.assert_close(parts["total"], expected)
    assert set(parts) == set(loss_names())
    half = batches[0].num_pairs
    scores = batches[0].scores
    clips = normalise(batches[0].frames, CLIP)
    output = model(clips[:half], clips[half:], *batches[0].transitions.chunk(2))
    true = scores[:half] - scores[half:]
    by_hand = (output.delta - true).square().mean() + (output.reverse_delta + true).square().mean()
    torch.testing.assert_close(parts["regression"], by_hand)


def test_score_scale_equals_training_on_scaled_scores(model: MCoRe, batches: list[PairBatch]) -> None:
    """Two networks, one in points with a scale of 20, one on scores divided by 20: the same predictions x20."""
    scaled = dataclasses.replace(PUBLISHED, score_scale_points=20.0)
    in_points, in_twenties = MCoRe(MODEL), MCoRe(MODEL)
    for each in (in_points, in_twenties):
        each.load_state_dict(model.state_dict())
    scale_last_layer(in_points, scaled)
    divided = [dataclasses.replace(batch, scores=batch.scores / 20) for batch in batches]
    for network, data, recipe in ((in_points, batches, scaled), (in_twenties, divided, PUBLISHED)):
        torch.manual_seed(1)
        optimizer = make_optimizer(network, recipe)
        for group in optimizer.param_groups:
            group["eps"] = 1e-14  # Adam's eps is the one thing that sees the scale
        train_one_epoch(TrainingStep(network, optimizer, recipe), data, LossMeter())
    tokens = torch.randn(5, 6, 16)
    torch.testing.assert_close(
        in_points.compare(tokens, tokens.flip(0)),
        20 * in_twenties.compare(tokens, tokens.flip(0)),
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize("mode", ["frozen", "estimated", "trained"])
def test_batch_norm_statistics_move_only_when_trained(
    model: MCoRe, batches: list[PairBatch], mode: BatchNormMode
) -> None:
    recipe = dataclasses.replace(PUBLISHED, batch_norm=mode)
    norms = [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    means = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    weights = [norm.weight.detach().clone() for norm in norms]
    train_one_epoch(TrainingStep(model, make_optimizer(model, recipe), recipe), batches, LossMeter())
    moved = [not torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, means, strict=True)]  # type: ignore[arg-type]
    assert moved == [mode == "trained"] * len(norms)
    assert any(not torch.equal(norm.weight, weight) for norm, weight in zip(norms, weights, strict=True))


def test_estimated_batch_norm_normalises(model: MCoRe, batches: list[PairBatch]) -> None:
    estimate_batch_norm(model, batches[:1])
    seen: list[torch.Tensor] = []
    hook = model.backbone.stem.bn.register_forward_hook(lambda module, args, out: seen.append(out))
    model.eval().features(normalise(batches[0].frames, CLIP))
    hook.remove()
    per_channel = seen[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(per_channel.mean(1), torch.zeros(8), rtol=0, atol=1e-3)
    torch.testing.assert_close(per_channel.std(1), torch.ones(8), rtol=0, atol=1e-2)
    assert model.backbone.stem.bn.momentum == 0.1


def test_training_learns_what_can_be_learned(model: MCoRe, batches: list[PairBatch]) -> None:
    recipe = TrainingConfig(
        learning_rate=3e-3, backbone_learning_rate=3e-3, batch_norm="trained", score_scale_points=10,
        loss_weights=default_weights(contrastive=0),
    )  # fmt: skip
    scale_last_layer(model, recipe)
    optimizer = make_optimizer(model, recipe)
    history = []
    for _ in range(40):
        meter = LossMeter()
        assert train_one_epoch(TrainingStep(model, optimizer, recipe), batches, meter)
        history.append(meter.means())
    assert history[-1]["regression"] < 0.2 * history[0]["regression"]
    assert history[-1]["transition"] < 0.5 * history[0]["transition"]


def test_divergence_is_an_error_and_is_not_saved(model: MCoRe, batches: list[PairBatch]) -> None:
    with torch.no_grad():
        model.regressor.layer3.bias.fill_(torch.inf)
    steps: list[int] = []

    def save() -> bool:
        steps.append(1)
        return False

    step = TrainingStep(model, make_optimizer(model, PUBLISHED), PUBLISHED)
    with pytest.raises(UserError, match=r"diverged at step 1 .*regression inf.*--learning-rate"):
        train_one_epoch(step, batches, LossMeter(), after_step=save)
    assert steps == []


def test_gradient_clipping_bounds_the_step(model: MCoRe, batches: list[PairBatch]) -> None:
    recipe = dataclasses.replace(PUBLISHED, gradient_clip_norm=1e-3)
    optimizer = torch.optim.SGD([{"params": model.parameters(), "lr": 1.0, "base_lr": 1.0}])
    before = [parameter.detach().clone() for parameter in model.parameters()]
    train_one_epoch(TrainingStep(model, optimizer, recipe), batches[:1], LossMeter())
    moved = sum(float((a - b).detach().square().sum()) for a, b in zip(model.parameters(), before, strict=True))
    assert moved**0.5 <= 1.01e-3


def test_schedules() -> None:
    cosine = TrainingConfig(schedule="cosine", warmup_steps=4)
    factors = [learning_rate_factor(cosine, step, 104) for step in range(104)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[54] == pytest.approx(0.5)
    assert 0 < factors[-1] < 1e-3
    assert {learning_rate_factor(PUBLISHED, step, 9) for step in range(9)} == {1.0}


def test_one_pass_scores_equal_pairwise_scores(model: MCoRe, records: list[DiveRecord]) -> None:
    """Stored tokens give what comparing two videos anew for each exemplar gives."""
    queries, pool = select_split(records, "test"), select_split(records, "train")
    plan = plan_scoring(queries, pool, num_exemplars=3, seed=0)
    predictions = predict(model, plan)
    assert predictions.scores.shape == (4,)
    for row, record in enumerate(plan.queries):
        query = model.encode(read_clip(record.path, CLIP)[None])
        each = []
        for position in plan.exemplars[row]:
            exemplar = plan.pool[position]
            assert exemplar.dive_number == record.dive_number
            assert exemplar.split == "train"
            tokens = model.encode(read_clip(exemplar.path, CLIP)[None]).tokens
            each.append(exemplar.score + float(model.compare(query.tokens, tokens)))
        assert predictions.scores[row] == pytest.approx(np.mean(each), abs=1e-3)
        assert predictions.exemplar_std[row] == pytest.approx(np.std(each), abs=1e-3)
        assert predictions.transitions[row].tolist() == query.transitions[0].tolist()


def test_plan_skips_what_has_no_exemplar(records: list[DiveRecord]) -> None:
    pool = select_split(records, "train")
    queries = select_split(records, "val")
    stranger = DiveRecord(Path("none.mp4"), "5253B", 70.0)
    plan = plan_scoring([stranger, *queries], pool, num_exemplars=10, seed=0)
    assert plan.skipped == [stranger]
    assert plan.queries == queries
    assert [len(rows) for rows in plan.exemplars] == [4] * 4
    with pytest.raises(UserError, match="101A, 205B"):
        plan_scoring([stranger], pool, num_exemplars=10, seed=0)


def test_a_split_meets_the_same_exemplars_whatever_other_split_is_scored_beside_it(records: list[DiveRecord]) -> None:
    pool = select_split(records, "train")
    val, test = (select_split(records, split) for split in ("val", "test"))

    def exemplars(queries: list[DiveRecord]) -> dict[Path, list[Path]]:
        plan = plan_scoring(queries, pool, num_exemplars=2, seed=0)
        return {
            query.path: [plan.pool[position].path for position in positions]
            for query, positions in zip(plan.queries, plan.exemplars, strict=True)
        }

    assert exemplars([*test, *val]) == exemplars([*val, *test]) == exemplars(test) | exemplars(val)
