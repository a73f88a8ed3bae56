"""Send what a session's receivers do not have yet, once mcore-run has ended.

    python -m mcore_runtime.integrations.webhooks sessions/final https://scores.example/dives

Exit code: 0 when they have everything, 1 when they do not, 2 for a mistake in the command.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore_runtime.integrations.webhooks.sender import Delivery
from mcore_runtime.integrations.webhooks.signing import read_secret
from mcore_runtime.integrations.webhooks.target import parse_target
from mcore_runtime.session import SessionStore


@dataclass(frozen=True)
class Arguments:
    """Send what is left."""

    session: Annotated[Path, tyro.conf.Positional]
    """Folder of the session."""
    url: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Addresses of the receivers."""
    timeout_s: float = 60.0
    """Longest time for each of them, seconds."""

    def __post_init__(self) -> None:
        if not self.url:
            raise UserError("give the address of at least one receiver")
        if not 0 < self.timeout_s <= 86400:
            raise UserError(f"--timeout-s is {self.timeout_s:g}; allowed: more than 0, at most 86400")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    prog = "python -m mcore_runtime.integrations.webhooks"
    return run_command_line(Arguments, _run, prog=prog, doc=__doc__, argv=argv)


def _run(arguments: Arguments) -> int:
    targets, secret = [parse_target(url) for url in arguments.url], read_secret()
    all_left = 0
    with SessionStore.open(arguments.session) as store:
        for target in targets:
            delivery = Delivery(store, target, secret, print)
            before = delivery.left
            delivery.finish(time.monotonic() + arguments.timeout_s)
            print(f"{target}: {before - delivery.left} results sent, {delivery.left} left")
            all_left += delivery.left
    return 1 if all_left else 0


if __name__ == "__main__":
    sys.exit(main())
