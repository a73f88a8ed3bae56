"""Train the spotter, the learned detector of dives, on drawn clips of random pools.

    python -m mcore.train_spotter --out spotter.npz

Clips are drawn once and kept in a folder; the same command goes on with those that are there. No film is needed.
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
from mcore.common.optional import require_all
from mcore.common.progress import progress_bar
from mcore.devices.cpu import let_waiting_threads_sleep
from mcore.synthetic.untrimmed.kept import keep_clip, read_kept
from mcore.synthetic.workers import render_all


@dataclass(frozen=True)
class SpotterArguments:
    """Where the weights go, and what they are trained on."""

    out: Path
    """File of the weights, .npz."""
    clips: Path = Path("spotter_clips")
    """Folder that drawn clips are kept in: 0.7 MB each."""
    num_clips: int = 3600
    """Clips that are drawn; their seeds count from 0."""
    steps: int = 4500
    """Steps of the training."""
    clips_a_step: int = 16
    """Clips that each step looks at."""
    seed: int = 0
    """Decides the first weights, and the order of the clips."""
    workers: int | None = None
    """Processes that draw; one a core where it is not given."""

    def __post_init__(self) -> None:
        if self.out.suffix != ".npz":
            raise UserError(f"--out is a file that ends in .npz, got {str(self.out)!r}")
        if min(self.num_clips, self.steps, self.clips_a_step) < 1:
            raise UserError("--num-clips, --steps and --clips-a-step are at least 1")


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

    arguments.clips.mkdir(parents=True, exist_ok=True)
    paths = render_all(partial(keep_clip, arguments.clips), range(arguments.num_clips), arguments.workers)
    clips = [read_kept(path) for path in paths]
    torch.manual_seed(arguments.seed)
    network = Spotter()
    recipe = SpotterRecipe(steps=arguments.steps, clips_a_step=arguments.clips_a_step, seed=arguments.seed)
    losses: list[float] = []
    with progress_bar("training", arguments.steps) as on_step:

        def log(loss: float) -> None:
            losses.append(loss)
            on_step()

        train_spotter(network, clips, recipe, log)
    np.savez_compressed(arguments.out, allow_pickle=False, **network.eval().arrays())
    size_kb = arguments.out.stat().st_size / 1e3
    last = float(np.mean(losses[-50:]))
    print(f"{arguments.out}: {size_kb:.0f} kB, loss {last:.3f} after {arguments.steps} steps on {len(paths)} clips")
    return 0


if __name__ == "__main__":
    sys.exit(main())
