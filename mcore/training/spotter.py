"""Training of the spotter on drawn clips, from random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mcore.network.spotter import OUTPUTS, Spotter
from mcore.synthetic.untrimmed.kept import KeptClip
from mcore.video.spotting import SAMPLES_PER_S, SPOTTER_DELAY, features


@dataclass(frozen=True)
class SpotterRecipe:
    """How the spotter is trained."""

    steps: int = 900
    clips_a_step: int = 6
    samples: int = 96
    """Pictures of each clip that one step looks at."""
    learning_rate: float = 2e-3
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
    network: Spotter,
    read: Callable[[int], KeptClip],
    num_clips: int,
    recipe: SpotterRecipe,
    log: Callable[[float], None],
) -> None:
    """Train a spotter in place.

    Args:
        network: with any weights.
        read: gives one of the clips, by its place; called from another thread.
        num_clips: that there are.
        recipe: how.
        log: told the loss of each step.
    """
    torch.manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps, pct_start=0.1)
    network.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    weight = torch.tensor([recipe.event_weight, recipe.event_weight, 1.0])
    for maps, shifts, wanted in _batches(read, num_clips, recipe):
        state = torch.zeros(1, len(maps), network.memory)
        with torch.autocast("cpu", torch.bfloat16):
            logits, _ = network(maps, shifts, state)
        # The network speaks of the picture SPOTTER_DELAY before.
        said, meant = logits[:, SPOTTER_DELAY:].float(), wanted[:, :-SPOTTER_DELAY]
        loss = functional.binary_cross_entropy_with_logits(said, meant, pos_weight=weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        log(loss.item())


def _batches(
    read: Callable[[int], KeptClip], num_clips: int, recipe: SpotterRecipe
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Draw batches; the next one is made while one is learned from."""
    rng = np.random.default_rng(recipe.seed)

    def make() -> tuple[torch.Tensor, ...]:
        chosen = rng.integers(0, num_clips, recipe.clips_a_step)
        parts = [_cut(read(place), recipe.samples, rng) for place in chosen.tolist()]
        maps, shifts, wanted = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
        return maps, shifts, wanted

    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(make)
        for _ in range(recipe.steps):
            batch = upcoming.result()
            upcoming = pool.submit(make)
            yield batch[0], batch[1], batch[2]


def _cut(
    clip: KeptClip, samples: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Take a part of a clip, the part with a dive more often; mirrored, brighter or darker, moved."""
    count, meant = len(clip.pictures), targets(clip.times_s, clip.dives)
    first = int(rng.integers(0, max(1, count - samples + 1)))
    events = np.flatnonzero(meant[:, 1] > 0.6)
    if len(events) and rng.random() < 0.8:
        first = int(np.clip(rng.choice(events) - rng.integers(10, samples - 5), 0, max(0, count - samples)))
    part = slice(first, first + samples)
    pictures, shifts, wanted = clip.pictures[part], clip.shifts[part].copy(), meant[part]
    if rng.random() < 0.5:
        pictures, shifts[:, 1] = pictures[:, :, ::-1], -shifts[:, 1]
    if rng.random() < 0.5:
        levels = 255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.3)) * rng.uniform(0.7, 1.0)
        levels = 255 - levels if rng.random() < 0.1 else levels
        pictures = levels.astype(np.uint8)[pictures]
    maps, moved = features(pictures, shifts)
    moved[0] = 0
    missing = samples - len(maps)
    if missing:  # a short clip: nothing more happens
        maps = np.concatenate([maps, np.repeat(maps[-1:] * [[[[1]], [[0]], [[0]]]], missing, 0)]).astype(np.float32)
        moved, wanted = np.pad(moved, ((0, missing), (0, 0))), np.pad(wanted, ((0, missing), (0, 0)))
    return maps, moved, wanted
