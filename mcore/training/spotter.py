"""Training of the spotter on drawn clips, from random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mcore.diving.physics import LONGEST_FLIGHT_S
from mcore.network.spotter import OUTPUTS, Spotter
from mcore.synthetic.untrimmed.kept import KeptClip
from mcore.video.spotting import LOOKS_BACK, SAMPLES_PER_S, SPOTTER_DELAY, changes, scaled_shift

Batch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
_FASTER = (2, 4)
"""The runtime also looks at a stream as if it ran this many times as fast, and so does the training now and then."""
_FASTER_SHARE = 0.08
_FASTER_SHARE_SLOW = 0.7
"""Of clips with a flight in slow motion."""


@dataclass(frozen=True)
class SpotterRecipe:
    """How the spotter is trained."""

    steps: int = 4500
    clips_a_step: int = 16
    samples: int = 72
    """Pictures of each clip that one step looks at."""
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2
    event_weight: float = 8.0
    """Weight of the few pictures with a take-off or an entry."""
    seed: int = 0
    own_share: float = 0.5
    """Of the clips of a step, where there are any of one's own; the rest are drawn, so that nothing is unlearned."""


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
    clips: Sequence[KeptClip],
    recipe: SpotterRecipe,
    log: Callable[[float], None],
    own: Sequence[KeptClip] = (),
) -> None:
    """Train a spotter in place.

    Args:
        network: with any weights.
        clips: drawn ones, that it learns from.
        recipe: how.
        log: told the loss of each step.
        own: clips of one's own, that it learns from too.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps, pct_start=0.1)
    weight = torch.tensor([recipe.event_weight, recipe.event_weight, 1.0])
    network.train()
    for _ in range(recipe.steps):
        num_own = round(recipe.own_share * recipe.clips_a_step) if own else 0
        chosen = [clips[place] for place in rng.integers(0, len(clips), recipe.clips_a_step - num_own).tolist()]
        chosen += [own[place] for place in rng.integers(0, len(own), num_own).tolist()] if own else []
        parts = [_cut(clip, recipe.samples, rng) for clip in chosen]
        changed, shifts, wanted = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
        # Half precision: three times the steps in the same time, on a processor that has it.
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(_zoomed(changed), shifts).float()
        # The network speaks of the picture SPOTTER_DELAY before.
        said, meant = logits[:, SPOTTER_DELAY:], wanted[:, :-SPOTTER_DELAY]
        loss = functional.binary_cross_entropy_with_logits(said, meant, pos_weight=weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        log(loss.item())


def _cut(clip: KeptClip, samples: int, rng: np.random.Generator) -> Batch:
    """Take a part of a clip, the part with a dive more often, with chance in how it looks.

    Returns:
        (samples, looks back, ROWS, COLUMNS) changes, (samples, 2) movement of the picture, (samples, outputs) targets.
    """
    clip = _faster(clip, rng)
    meant = targets(clip.times_s, clip.dives)
    count = len(clip.pictures)
    first = int(rng.integers(0, max(1, count - samples + 1)))
    events = np.flatnonzero(meant[:, 1] > 0.6)
    if len(events) and rng.random() < 0.7:
        first = int(np.clip(rng.choice(events) - rng.integers(10, samples - 8), 0, max(0, count - samples)))
    last = min(first + samples, count)
    pictures = list(clip.pictures)
    moved: list[tuple[int, int]] = [(down, right) for down, right in clip.shifts.tolist()]
    seen = [slice(max(0, at - max(LOOKS_BACK)), at + 1) for at in range(first, last)]
    changed = np.stack([changes(pictures[part], moved[part]) for part in seen])
    shifts = np.stack([scaled_shift(moved[at]) for at in range(first, last)])
    if rng.random() < 0.5:  # mirrored
        changed, shifts = changed[..., ::-1], shifts * np.array([1, -1], np.float32)
    changed = changed * np.float32(rng.choice([-1.0, 1.0, 1.0]) * np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.3:
        changed = changed + rng.normal(0, rng.uniform(0, 0.15), changed.shape).astype(np.float32)
    if rng.random() < 0.15:  # pictures that come twice
        changed = changed * (rng.random((len(changed), 1, 1, 1)) > 0.1)
    missing = samples - len(changed)  # after a short clip nothing more happens
    pad = ((0, missing), (0, 0))
    return (
        np.pad(changed.astype(np.float32), (*pad, (0, 0), (0, 0))),
        np.pad(shifts, pad),
        np.pad(meant[first:last], pad),
    )


def _faster(clip: KeptClip, rng: np.random.Generator) -> KeptClip:
    """Leave out pictures now and then, so that slow motion looks like a dive and a dive like a stone."""
    is_slow = bool(np.any(np.diff(clip.dives) > LONGEST_FLIGHT_S))
    if rng.random() >= (_FASTER_SHARE_SLOW if is_slow else _FASTER_SHARE):
        return clip
    times = int(rng.choice(_FASTER))
    kept = np.arange(len(clip.pictures) // times) * times
    path = np.cumsum(clip.shifts, axis=0)[kept]
    return KeptClip(
        clip.pictures[kept], np.diff(path, axis=0, prepend=path[:1]), clip.times_s[kept] / times, clip.dives / times
    )


def _zoomed(changed: torch.Tensor) -> torch.Tensor:
    """Stretch, shrink and move the pictures of each clip: (B, T, looks back, ROWS, COLUMNS)."""
    batch, samples, _, rows, columns = changed.shape
    theta = torch.zeros(batch, 2, 3)
    stretch = torch.exp(0.15 * torch.randn(batch, 2) + 0.12 * torch.randn(batch, 1))
    theta[:, 0, 0], theta[:, 1, 1] = stretch.unbind(1)
    theta[:, :, 2] = 0.3 * torch.rand(batch, 2) - 0.15
    grid = functional.affine_grid(theta, [batch, 1, rows, columns], align_corners=False)
    zoomed = functional.grid_sample(changed.flatten(1, 2), grid, align_corners=False)
    out: torch.Tensor = zoomed.unflatten(1, (samples, len(LOOKS_BACK)))
    return out
