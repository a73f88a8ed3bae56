"""``python -m mcore.compare``: what runs differ in, and by how much."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mcore.common.errors import run_command
from mcore.evaluation.compare_command import run_arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(lambda: run_arguments(list(sys.argv[1:] if argv is None else argv)))


if __name__ == "__main__":
    sys.exit(main())
