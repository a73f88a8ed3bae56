"""``python -m mcore.compare``: what runs differ in, and by how much; the command is ``mcore.compare_command``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mcore.compare_command import run_arguments
from mcore.errors import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(lambda: run_arguments(list(sys.argv[1:] if argv is None else argv)))


if __name__ == "__main__":
    sys.exit(main())
