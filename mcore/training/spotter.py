"""Training of the spotter on drawn clips, from random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mcore.network.spotter import OUTPUTS, Spotter
from mcore.synthetic.untrimmed.kept import KeptClip
from mcore.video.spotting import BINS, SAMPLES_PER_S, SHIFT_UNIT, SPOTTER_DELAY


@dataclass(frozen=True)
class SpotterRecipe:
    """How the spotter is trained."""

    steps: int = 600
    clips_a_step: int = 16
    samples: int = 96
    """Pictures of each clip that one step looks at."""
    learning_rate: float = 3e-3
    event_weight: float = 8.0
    """Weight of the few pictures with a take-off or an entry."""
    seed: int = 0


def targets(times_s: NDArray[np.float64], dives: NDArray[np.float64]) -> NDArray[np.float32]:
    """What the network should say of each picture.

    Args:
        times_s: (T,) of the pictures.
        dives: (D, 2) take-off and entry, seconds.

    Returns:
        (T, outputs): 1 at an event and less beside it; 1 during a flight.
    """
    wanted = np.zeros((len(times_s), len(OUTPUTS)), np.float32)
    for takeoff_s, entry_s in dives.tolist():
        for column, event_s in enumerate((takeoff_s, entry_s)):
            bell = np.exp(-0.5 * ((times_s - event_s) * SAMPLES_PER_S) ** 2)
            wanted[:, column] = np.maximum(wanted[:, column], bell)
        wanted[:, 2] = np.maximum(wanted[:, 2], (times_s >= takeoff_s) & (times_s < entry_s))
    return wanted


def train_spotter(
    network: Spotter, clips: Sequence[KeptClip], recipe: SpotterRecipe, log: Callable[[float], None]
) -> None:
    """Train a spotter in place.

    Args:
        network: with any weights.
        clips: that it learns from.
        recipe: how.
        log: told the loss of each step.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps, pct_start=0.1)
    weight = torch.tensor([recipe.event_weight, recipe.event_weight, 1.0])
    network.train()
    for _ in range(recipe.steps):
        chosen = rng.integers(0, len(clips), recipe.clips_a_step).tolist()
        parts = [_cut(clips[place], recipe.samples, rng) for place in chosen]
        profiles, shifts, wanted = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
        logits, _ = network(profiles, shifts, torch.zeros(1, len(profiles), network.memory))
        # The network speaks of the picture SPOTTER_DELAY before.
        said, meant = logits[:, SPOTTER_DELAY:], wanted[:, :-SPOTTER_DELAY]
        loss = functional.binary_cross_entropy_with_logits(said, meant, pos_weight=weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        log(loss.item())


def _cut(
    clip: KeptClip, samples: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Take a part of a clip, the part with a dive more often; mirrored, fainter or stronger, higher or lower."""
    count, meant = len(clip.profiles), targets(clip.times_s, clip.dives)
    first = int(rng.integers(0, max(1, count - samples + 1)))
    events = np.flatnonzero(meant[:, 1] > 0.6)
    if len(events) and rng.random() < 0.7:
        first = int(np.clip(rng.choice(events) - rng.integers(10, samples - 8), 0, max(0, count - samples)))
    part = slice(first, first + samples)
    profiles, wanted = clip.profiles[part].astype(np.float32), meant[part]
    shifts = clip.shifts[part].astype(np.float32) / SHIFT_UNIT * [1, rng.choice([-1, 1])]
    profiles[:, :5] = np.clip(profiles[:, :5] * np.exp(rng.normal(0, 0.25)) + rng.normal(0, 0.03), 0, None)
    profiles[:, 5] *= rng.choice([-1.0, 1.0, 1.0]) * np.exp(rng.normal(0, 0.3))
    moved = int(rng.integers(-6, 7))  # bands up or down; what comes in at the edge does not move
    profiles = np.roll(profiles, moved, axis=2)
    edge = slice(None, moved) if moved > 0 else slice(BINS + moved, None)
    profiles[:, :, edge] = (
        profiles[:, :, moved : moved + 1] if moved > 0 else profiles[:, :, BINS + moved - 1][..., None]
    )
    missing = samples - len(profiles)  # after a short clip nothing more happens
    pad = ((0, missing), (0, 0))
    profiles, shifts, wanted = np.pad(profiles, (*pad, (0, 0))), np.pad(shifts, pad), np.pad(wanted, pad)
    return profiles, shifts.astype(np.float32), wanted
