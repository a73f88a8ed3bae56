"""Train the spotter, the learned detector of dives, on drawn clips of random pools, and on one's own.

    python -m mcore.train_spotter --out spotter.npz

    python -m mcore.train_spotter --out own.npz --own session/dives.jsonl --no-dive session/clips/0007.mp4

Drawn clips are kept in a folder; the same command goes on with those that are there. For the first form no film is
needed. The second goes on from the package's weights; a bundle gets its result by mcore-bundle spotter.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.npz import read_arrays
from mcore.common.optional import require_all
from mcore.common.progress import progress_bar
from mcore.data.manifest import read_manifest, select_split
from mcore.data.own_clips import clip_of_dive, clip_without_dive
from mcore.devices.cpu import let_waiting_threads_sleep
from mcore.synthetic.untrimmed.kept import KeptClip, keep_clip, read_kept
from mcore.synthetic.workers import render_all
from mcore.video.spotting import SPOTTER_WEIGHTS

LEAST_OWN = 20
"""Dives of one's own, below which a spotter is not trained on them: too few to learn a pool from."""
LEAST_STEPS = 20
"""Steps, below which the learning rate has no room to rise and fall."""
_CLIPS, _STEPS, _RATE = 3600, 4500, 2e-3
_OWN_CLIPS, _OWN_STEPS, _OWN_RATE = 600, 600, 5e-4
"""Where one's own clips are learned, from weights that find dives already."""


@dataclass(frozen=True)
class SpotterArguments:
    """Where the weights go, and what they are trained on."""

    out: Path
    """File of the weights, .npz."""
    own: tuple[Path, ...] = ()
    """Lists of dives of one's own, with take-off and entry; their train split is learned."""
    no_dive: tuple[Path, ...] = ()
    """With --own: videos in which nobody dives, such as clips that were false alarms."""
    start_from: Path | None = None
    """Weights to go on from; default: with --own the package's, else random ones."""
    clips: Path = Path("spotter_clips")
    """Folder that drawn clips are kept in: 0.7 MB each."""
    num_clips: int | None = None
    """Clips that are drawn; their seeds count from 0. Default: 3600, with --own 600."""
    steps: int | None = None
    """Steps of the training. Default: 4500, with --own 600."""
    clips_a_step: int = 16
    """Clips that each step looks at; with --own half of them are drawn."""
    seed: int = 0
    """Decides the first weights, and the order of the clips."""
    workers: int | None = None
    """Processes that draw; one a core where it is not given."""

    def __post_init__(self) -> None:
        if self.out.suffix != ".npz":
            raise UserError(f"--out is a file that ends in .npz, got {str(self.out)!r}")
        if any(number is not None and number < 1 for number in (self.num_clips, self.clips_a_step)):
            raise UserError("--num-clips and --clips-a-step are at least 1")
        if self.steps is not None and self.steps < LEAST_STEPS:
            raise UserError(f"--steps is at least {LEAST_STEPS}, got {self.steps}: the rate rises for a tenth of them")
        if self.no_dive and not self.own:
            raise UserError("--no-dive goes with --own: without dives a spotter forgets them")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    let_waiting_threads_sleep()
    return run_command_line(SpotterArguments, train, prog="python -m mcore.train_spotter", doc=__doc__, argv=argv)


def train(arguments: SpotterArguments) -> int:
    """Draw clips, train, write the weights."""
    require_all("torch", extra="train", purpose="Training")
    import torch

    from mcore.network.spotter import Spotter
    from mcore.training.spotter import SpotterRecipe, train_spotter

    own = _read_own(arguments)
    usual_clips, usual_steps, rate = (_OWN_CLIPS, _OWN_STEPS, _OWN_RATE) if own else (_CLIPS, _STEPS, _RATE)
    steps = arguments.steps or usual_steps
    begin = arguments.start_from or (SPOTTER_WEIGHTS if own else None)
    torch.manual_seed(arguments.seed)
    try:
        network = Spotter() if begin is None else Spotter.from_arrays(read_arrays(begin))
    except ValueError as error:
        raise UserError(f"cannot read the spotter's weights from {begin}: {error}") from error
    arguments.clips.mkdir(parents=True, exist_ok=True)
    seeds = range(arguments.num_clips or usual_clips)
    drawn = [read_kept(path) for path in render_all(partial(keep_clip, arguments.clips), seeds, arguments.workers)]
    recipe = SpotterRecipe(steps, arguments.clips_a_step, learning_rate=rate, seed=arguments.seed)
    losses: list[float] = []
    with progress_bar("training", steps) as on_step:

        def log(loss: float) -> None:
            losses.append(loss)
            on_step()

        train_spotter(network, drawn, recipe, log, own)
    np.savez_compressed(arguments.out, allow_pickle=False, **network.eval().arrays())
    size_kb = arguments.out.stat().st_size / 1e3
    last = float(np.mean(losses[-50:]))
    learned = f"{len(drawn)} drawn clips" + (f" and {len(own)} of one's own" if own else "")
    print(f"{arguments.out}: {size_kb:.0f} kB, loss {last:.3f} after {steps} steps on {learned}")
    return 0


def _read_own(arguments: SpotterArguments) -> list[KeptClip]:
    records = [record for path in arguments.own for record in select_split(read_manifest(path), "train")]
    if arguments.own and len(records) < LEAST_OWN:
        raise UserError(
            f"{len(records)} dives of one's own in the train split; a pool is learned from {LEAST_OWN} or more"
        )
    reads = [partial(clip_of_dive, record) for record in records]
    reads += [partial(clip_without_dive, video) for video in arguments.no_dive]
    clips = []
    with progress_bar("reading", len(reads)) as on_clip:
        for read in reads:
            clips.append(read())
            on_clip()
    return clips


if __name__ == "__main__":
    sys.exit(main())
