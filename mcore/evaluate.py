"""``python -m mcore.evaluate``: score dives a checkpoint has not seen; the command is ``mcore.evaluation.command``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mcore.common.errors import run_command
from mcore.common.optional import require
from mcore.devices.openmp import let_waiting_threads_sleep


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, 2 with one line where torch is not installed."""
    return run_command(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    let_waiting_threads_sleep()
    require("torch", "train", "Evaluation")
    from mcore.evaluation.command import run_arguments

    return run_arguments(argv)


if __name__ == "__main__":
    sys.exit(main())
