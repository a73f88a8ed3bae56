"""Pretrain a backbone on the poses of drawn divers, frame by frame.

    mcore-data render --labels finediving_labels.jsonl --out replica --width 180 --height 180
    python -m mcore.pretrain --data replica/manifest.jsonl --out poses.safetensors
    python -m mcore.train --data replica/manifest.jsonl --out runs/first --preset tiny --pretrained poses.safetensors

The package ships such weights for the preset tiny: --pretrained poses. The list must be one of mcore-data render, which
knows the poses.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mcore.common.command_line import run_command_line
from mcore.common.optional import require_all
from mcore.devices.cpu import let_waiting_threads_sleep
from mcore.training.config import PretrainingOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    let_waiting_threads_sleep()
    return run_command_line(PretrainingOptions, _run, prog="python -m mcore.pretrain", doc=__doc__, argv=argv)


def _run(options: PretrainingOptions) -> int:
    require_all("torch", "safetensors.torch", extra="train", purpose="Pretraining")
    from mcore.training.poses import pretrain

    pretrain(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
