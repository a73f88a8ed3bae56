"""Each loss against a second implementation: loops over scalars, written from docs/reference/network.md, section 6."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from mcore.network.model import PairOutput
from mcore.training.losses import (
    PairTargets,
    contrastive_loss,
    fault_target_loss,
    regression_loss,
    stage_target_loss,
    transition_loss,
)

TOLERANCE = 1e-10
"""Both sides compute in float64."""


def loop_contrastive(query: Tensor, exemplar: Tensor, stages: int = 3, tau: float = 0.5) -> float:
    pairs, tokens, _ = query.shape
    size, total, count = tokens // stages, 0.0, 0
    for b in range(pairs):
        for s in range(stages):
            rows = range(s * size, (s + 1) * size)
            z = {
                side: [(clip[b, i] / clip[b, i].norm()).tolist() for i in rows]
                for side, clip in (("q", query), ("e", exemplar))
            }
            for one, two in (("q", "e"), ("e", "q")):
                for i in range(size):

                    def sim(x: list[float], y: list[float]) -> float:
                        return math.exp(sum(p * q for p, q in zip(x, y, strict=True)) / tau)

                    below = sum(sim(z[one][i], other) for other in z[one]) - sim(z[one][i], z[one][i])
                    below += sum(sim(z[one][i], other) for other in z[two])
                    total -= math.log(sim(z[one][i], z[two][i]) / below)
                    count += 1
    return total / count


def loop_transition(logits: Tensor, transitions: Tensor) -> float:
    total = 0.0
    for clip, (first, second) in zip(logits.tolist(), transitions.tolist(), strict=True):
        for channel, frame, weight in ((0, first, 1.0), (1, second, 2.0)):
            column = [row[channel] for row in clip]
            total -= weight * (column[frame] - math.log(sum(math.exp(value) for value in column)))
    return total / (2 * len(logits))


NOTHING = torch.zeros(0)


def output(**known: Tensor) -> PairOutput:
    return PairOutput(**{each.name: known.get(each.name, NOTHING) for each in fields(PairOutput)})


def targets(
    transitions: Tensor = NOTHING,
    scores: Tensor = NOTHING,
    scale: float = 1.0,
    stages: Tensor = NOTHING,
    faults: Tensor = NOTHING,
) -> PairTargets:
    return PairTargets(transitions, scores, scale, stages, faults)


def contrast(query: Tensor, exemplar: Tensor) -> Tensor:
    return contrastive_loss(output(query_tokens=query, exemplar_tokens=exemplar), targets())


@pytest.mark.parametrize(("pairs", "tokens_per_stage"), [(1, 1), (2, 5), (3, 4)])
def test_contrastive_loss(pairs: int, tokens_per_stage: int) -> None:
    generator = torch.Generator().manual_seed(pairs)
    query, exemplar = torch.randn(2, pairs, 3 * tokens_per_stage, 8, generator=generator, dtype=torch.float64)
    assert contrast(query, exemplar).item() == pytest.approx(loop_contrastive(query, exemplar), abs=TOLERANCE)


def test_contrastive_loss_prefers_the_same_token_of_the_other_dive() -> None:
    query = torch.eye(15).reshape(1, 15, 15)
    assert contrast(query, query) < contrast(query, query.roll(1, dims=1))


@pytest.mark.parametrize(("clips", "num_frames"), [(1, 4), (6, 33)])
def test_transition_loss(clips: int, num_frames: int) -> None:
    generator = torch.Generator().manual_seed(clips)
    logits = torch.randn(clips, num_frames, 2, generator=generator, dtype=torch.float64)
    transitions = torch.randint(0, num_frames, (clips, 2), generator=generator)
    loss = transition_loss(output(logits=logits), targets(transitions)).item()
    assert loss == pytest.approx(loop_transition(logits, transitions), abs=TOLERANCE)


def test_regression_loss_by_hand() -> None:
    forth, back, true = torch.tensor([2.0, -4.0]), torch.tensor([0.0, 4.0]), torch.tensor([3.0, -2.0])
    loss = regression_loss(output(delta=forth, reverse_delta=back), targets(scores=true, scale=2.0)).item()
    assert loss == pytest.approx((4 + 0) / 2 + (9 + 0) / 2)


def test_stage_target_loss_by_hand_and_without_gradient_where_nothing_is_known() -> None:
    forth = torch.tensor([[2.0, -4.0, 6.0], [1.0, 1.0, 1.0]], requires_grad=True)
    back = torch.tensor([[0.0, 4.0, -6.0], [1.0, 1.0, 1.0]], requires_grad=True)
    true = torch.tensor([[3.0, -2.0, 1.0], [torch.nan] * 3])
    pairs = output(stage_deltas=forth, reverse_stage_deltas=back)
    loss = stage_target_loss(pairs, targets(scale=2.0, stages=true))
    assert loss.item() == pytest.approx(((4 + 0 + 4) + (9 + 0 + 4)) / 2)  # the second pair is counted, and adds 0
    gradient = torch.stack(torch.autograd.grad(loss, [forth, back]))
    assert gradient[:, 0].abs().sum() > 0
    assert torch.equal(gradient[:, 1], torch.zeros(2, 3))
    assert stage_target_loss(pairs, targets(stages=torch.full((2, 3), torch.nan))).item() == 0


def test_fault_target_loss_by_hand_and_without_gradient_where_nothing_is_known() -> None:
    found = torch.tensor([[0.5, 1.0], [0.0, 0.25]], requires_grad=True)
    true = torch.tensor([[1.0, torch.nan], [0.5, 0.75]])
    loss = fault_target_loss(output(faults=found), targets(faults=true))
    assert loss.item() == pytest.approx((0.25 + 0 + 0.25 + 0.25) / 2)  # two dives; what is not known adds 0
    (gradient,) = torch.autograd.grad(loss, [found])
    assert gradient[0, 1] == 0
    assert (gradient != 0).sum() == 3
    assert fault_target_loss(output(faults=torch.zeros(2, 0)), targets(faults=torch.zeros(2, 0))).item() == 0


def test_losses_have_gradients_even_where_tokens_are_zero() -> None:
    """A frame of nothing gives a zero token; normalising it must not give nan."""
    query = torch.zeros(1, 15, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(contrast(query, torch.randn(1, 15, 4)), [query])
    assert torch.isfinite(gradient).all()
