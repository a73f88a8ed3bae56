"""Make, check, convert and decode data sets of dives.

    mcore-data render --out dives --dive-numbers 107B 407C --dives-per-number 80
    mcore-data render --out replica --labels finediving_labels.jsonl
    mcore-data check FineDiving --json report.json
    mcore-data convert FineDiving --out finediving.jsonl
    mcore-data cache finediving.jsonl --preset paper

Lists of dives are described at ``mcore.data.manifest``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mcore.common.command_line import run_subcommand
from mcore.data.commands.cache import Cache
from mcore.data.commands.check import Check, Convert
from mcore.data.commands.render import Render

_COMMANDS: dict[str, tuple[Any, Callable[[Any], int]]] = {
    "render": (Render, Render.run),
    "check": (Check, Check.run),
    "convert": (Convert, Convert.run),
    "cache": (Cache, Cache.run),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-data``; returns 0, 1 where something was found to be wrong with data, or 2 for a mistake."""
    return run_subcommand(_COMMANDS, prog="mcore-data", doc=__doc__, argv=argv)
