"""Let a network learn from one's own dives, compare old and new, and export the better one with one's own exemplars.

The validation dives decide which network is exported; the test dives say what it is worth. Where the new one is not
better, the old one is kept.

Examples:
    mcore-adapt runs/first/best.pt --data own/dives.jsonl --out bundle2 --mix replica/manifest.jsonl
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.optional import require_all
from mcore_runtime.bundle.folder import MANIFEST_FILE, Bundle


@dataclass(frozen=True)
class Arguments:
    """Let a network learn from one's own dives, and export it where it became better."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Network to begin with: a checkpoint of a training, not a bundle."""
    data: Path
    """List of one's own dives (.jsonl or .csv) with splits train, val and test."""
    out: Path
    """Folder of the new bundle. Beside it appear OUT-training (the run) and OUT-comparison.json."""
    mix: Path | None = None
    """List whose training dives are mixed in, such as the rendered replica that the network was trained on."""
    mix_share: float = 0.5
    """Share of the pairs that come from --mix."""
    epochs: int | None = None
    """Passes over one's own training dives; default: as many as suit their number."""
    seed: int = 0
    """Decides data order, exemplars, crops and flips."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that read clips; they change the speed, nothing else."""
    force: Annotated[bool, tyro.conf.arg(aliases=["--overwrite"])] = False
    """Replace a bundle that is already at --out, and what lies beside it."""

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"--epochs {self.epochs}; at least 1")
        if not 0 < self.mix_share < 1:
            raise UserError(f"--mix-share {self.mix_share}; above 0 and below 1")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-adapt``; returns 0, whichever network was better, 1 for a failed export, 2 for a mistake."""
    return run_command_line(Arguments, _run, prog="mcore-adapt", doc=__doc__, argv=argv)


def _run(arguments: Arguments) -> int:
    # Before advice about packages that would not help.
    _check_is_checkpoint(arguments.checkpoint)
    needed = ("torch", "torch.utils.tensorboard", "matplotlib.figure", "onnx", "onnxscript", "onnxruntime")
    require_all(*needed, extra="train,export", purpose="Adapting a network")
    from mcore_export.adapt.adapt import adapt

    return adapt(arguments)


def _check_is_checkpoint(path: Path) -> None:
    """Refuse what holds no weights to go on with."""
    if not path.exists():
        raise UserError(f"there is nothing at {path}; give a checkpoint")
    if not path.is_dir():
        return
    if not (path / MANIFEST_FILE).is_file():
        raise UserError(f"{path} is a folder; give a checkpoint, such as {path / 'best.pt'}")
    made_from = Bundle.open(path).manifest.checkpoint
    raise UserError(
        f"{path} is a bundle: it holds graphs, and no weights to go on learning with. Give the checkpoint that it was "
        f"exported from: {made_from.name}, sha256 {made_from.sha256[:12]}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
