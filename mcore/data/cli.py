"""``mcore-data``: make, check and convert data sets of dives.

    mcore-data render --out dives --dive-numbers 107B 407C --dives-per-number 80
    mcore-data check FineDiving --json report.json
    mcore-data convert FineDiving --out finediving.jsonl

Lists of dives are described at ``mcore.data.manifest``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mcore.cli_help import description
from mcore.data.check_cli import Check, Convert
from mcore.data.manifest import SPLITS, read_manifest
from mcore.errors import run_command
from mcore.synthetic import RenderSettings, render_dataset


@dataclass(frozen=True)
class Render:
    """Render dives to MP4 files with a list of labels; an interrupted rendering goes on where it was."""

    out: Path
    """Folder of the data set."""
    settings: Annotated[RenderSettings, tyro.conf.arg(name="")] = field(default_factory=RenderSettings)
    """What to render."""
    workers: int | None = None
    """Processes; default: one a core."""

    def run(self) -> int:
        """Render, and say what there is."""
        began = time.perf_counter()
        manifest = render_dataset(self.out, self.settings, workers=self.workers)
        records = read_manifest(manifest)
        counts = ", ".join(f"{sum(r.split == split for r in records)} {split}" for split in SPLITS)
        size = sum(record.path.stat().st_size for record in records)
        print(f"{manifest}: {len(records)} dives ({counts}), {size / 1e6:.1f} MB, {time.perf_counter() - began:.1f} s")
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-data``; returns 0, 1 where a check found errors, or 2 for a mistake."""
    return run_command(lambda: _parse(argv).run())


def _parse(argv: Sequence[str] | None) -> Render | Check | Convert:
    commands = tyro.extras.SubcommandApp()
    commands.command(name="render")(Render)
    commands.command(name="check")(Check)
    commands.command(name="convert")(Convert)
    return commands.cli(args=argv, prog="mcore-data", description=description(__doc__))  # type: ignore[no-any-return]
