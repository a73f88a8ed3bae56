"""The spotter: what it is told, that it learns, and that the runtime computes what PyTorch does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.synthetic.untrimmed.kept import KeptClip
from mcore.video.spotting import COLUMNS, LOOKS_BACK, ROWS
from mcore_runtime.detector.network import SpotterNetwork

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")

from mcore.network.spotter import Spotter  # noqa: E402
from mcore.training.spotter import SpotterRecipe, targets, train_spotter  # noqa: E402

HALF_PRECISION = 2e-3
"""Weights are kept with 11 bits; probabilities differ by less."""


def test_targets_are_highest_at_the_events() -> None:
    times = np.arange(0, 6, 1 / 12)
    wanted = targets(times, np.array([[2.0, 3.5]]))
    assert times[wanted[:, 0].argmax()] == pytest.approx(2.0)
    assert times[wanted[:, 1].argmax()] == pytest.approx(3.5)
    assert wanted[:, 2].sum() == pytest.approx(1.5 * 12)
    assert targets(times, np.zeros((0, 2))).sum() == 0


def falling(seed: int) -> KeptClip:
    """A bright block that falls from top to bottom, and is out of the picture before and after."""
    rng = np.random.default_rng(seed)
    first, column = int(rng.integers(25, 60)), int(rng.integers(5, 40))
    pictures = rng.normal(100, 3, (110, ROWS, COLUMNS)).clip(0, 255).astype(np.uint8)
    for step in range(16):
        pictures[first + step, 6 * step : 6 * step + 8, column : column + 8] = 240
    times = np.arange(110) / 12
    return KeptClip(pictures, np.zeros((110, 2), np.int64), times, times[[[first, first + 16]]])


def test_a_few_steps_teach_it_to_see_a_fall() -> None:
    torch.manual_seed(0)
    network, losses = Spotter(), list[float]()
    recipe = SpotterRecipe(steps=15, clips_a_step=4, samples=64)
    train_spotter(network, [falling(i) for i in range(4)], recipe, losses.append)
    assert np.mean(losses[-3:]) < 0.85 * losses[0]


def test_the_runtime_says_what_the_network_says(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = Spotter()
    changes, shifts = torch.randn(2, 20, len(LOOKS_BACK), ROWS, COLUMNS), torch.randn(2, 20, 2)
    network.train()(changes, shifts)  # so that the normalisation does something
    logits = network.eval()(changes[:1], shifts[:1])
    np.savez(tmp_path / "weights.npz", allow_pickle=False, **network.arrays())
    running = SpotterNetwork(tmp_path / "weights.npz")
    for _ in range(2):
        said = [running(c, s) for c, s in zip(changes[0].numpy(), shifts[0].numpy(), strict=True)]
        np.testing.assert_allclose(said, torch.sigmoid(logits[0]).detach(), atol=HALF_PRECISION)
        running.reset()


def test_other_files_are_refused(tmp_path: Path) -> None:
    arrays = Spotter().arrays()
    arrays["tell.weight"] = arrays["tell.weight"][:, 1:]
    np.savez(tmp_path / "another.npz", allow_pickle=False, **arrays)
    with pytest.raises(UserError, match="cannot read the spotter's weights"):
        SpotterNetwork(tmp_path / "another.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="cannot read the spotter's weights"):
        SpotterNetwork(tmp_path / "other.npz")
    with pytest.raises(UserError, match="cannot read the spotter's weights"):
        SpotterNetwork(tmp_path / "none.npz")
