"""``mcore-data``: make, check, convert and decode data sets of dives.

    mcore-data render --out dives --dive-numbers 107B 407C --dives-per-number 80
    mcore-data render --out twin --labels finediving_labels.jsonl
    mcore-data check FineDiving --json report.json
    mcore-data convert FineDiving --out finediving.jsonl
    mcore-data cache finediving.jsonl --preset paper

Lists of dives are described at ``mcore.data.manifest``.
"""

from __future__ import annotations

from collections.abc import Sequence

import tyro

from mcore.common.cli_help import description
from mcore.common.errors import run_command
from mcore.data.commands.cache import Cache
from mcore.data.commands.check import Check, Convert
from mcore.data.commands.render import Render


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-data``; returns 0, 1 where something was found to be wrong with data, or 2 for a mistake."""
    return run_command(lambda: _parse(argv).run())


def _parse(argv: Sequence[str] | None) -> Render | Check | Convert | Cache:
    commands = tyro.extras.SubcommandApp()
    commands.command(name="render")(Render)
    commands.command(name="check")(Check)
    commands.command(name="convert")(Convert)
    commands.command(name="cache")(Cache)
    return commands.cli(args=argv, prog="mcore-data", description=description(__doc__))  # type: ignore[no-any-return]
