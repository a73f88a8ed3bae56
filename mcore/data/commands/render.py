"""Subcommand ``mcore-data render``: dives made up from numbers, or a rendered replica of each dive of a data set."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.errors import UserError
from mcore.data.commands import print_left_out, split_counts
from mcore.data.manifest import read_manifest
from mcore.data.rendered_dives import RenderSettings, render_dataset
from mcore.data.rendered_replicas import ReplicaSettings, render_replicas
from mcore.data.replica_labels import replica_labels
from mcore.data.sources import read_source


@dataclass(frozen=True)
class Render:
    """Render dives to MP4 files with a list of labels; an interrupted rendering goes on where it was.

    Without --labels the dives are made up from dive numbers and a seed. With --labels each is the rendered replica of a
    real one: its labels, and a drawn diver whose faults earn its score.

        mcore-data render --out dives --dive-numbers 107B 407C --dives-per-number 80
        mcore-data render --out replica --labels finediving_labels.jsonl
    """

    out: Path
    """Folder of the data set."""
    labels: Path | None = None
    """Render a replica of each dive of this data set instead: same dive number, difficulty, score, frames, steps and
    split; FineDiving's labels (mcore-data labels), its folder, or a list of dives."""
    limit: int | None = None
    """With --labels: render only so many, a random sample that a larger limit contains."""
    only: tuple[str, ...] = ()
    """With --labels: render only dives of these numbers, such as 107B 407C."""
    settings: Annotated[RenderSettings, tyro.conf.arg(name="")] = field(default_factory=RenderSettings)
    """What to render."""
    workers: int | None = None
    """Processes; default: one a core."""

    def run(self) -> int:
        """Render, and say what there is."""
        if self.workers is not None and self.workers < 1:
            raise UserError(f"--workers {self.workers}; at least 1")
        if self.labels is not None:
            return self._render_replicas(self.labels)
        if self.limit is not None:
            raise UserError("--limit is for --labels; without, give --dives-per-number")
        if self.only:
            raise UserError("--only is for --labels; without, give --dive-numbers")
        began = time.perf_counter()
        manifest = render_dataset(self.out, self.settings, workers=self.workers)
        records = read_manifest(manifest)
        size = sum(record.path.stat().st_size for record in records)
        print(f"{manifest}: {split_counts(records)}, {size / 1e6:.1f} MB, {time.perf_counter() - began:.1f} s")
        return 0

    def _render_replicas(self, source: Path) -> int:
        default, given = RenderSettings(), self.settings
        if (given.dive_numbers, given.dives_per_number) != (default.dive_numbers, default.dives_per_number):
            raise UserError("--dive-numbers and --dives-per-number do not go with --labels; give --only")
        if given.world != default.world:
            raise UserError("--world is for made-up dives: labels have their own judges; leave out --world or --labels")
        labels, left_out = replica_labels(read_source(source).dives)
        print_left_out(left_out)
        settings = ReplicaSettings(given.seed, given.width, given.height)
        done = render_replicas(labels, self.out, settings, limit=self.limit, only=self.only, workers=self.workers)
        each = done.num_bytes / len(done.records)
        per_minute = 60 * done.num_new / done.seconds
        print(
            f"{done.manifest}: {split_counts(done.records)}, {done.num_bytes / 1e6:.1f} MB "
            f"({each / 1e3:.0f} kB a dive); {done.num_new} rendered in {done.seconds:.1f} s "
            f"({per_minute:.0f} a minute), {len(done.records) - done.num_new} were there, {len(left_out)} left out"
        )
        return 0
