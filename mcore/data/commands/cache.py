"""Subcommand ``mcore-data cache``: decode every clip once, before training and evaluation need them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.errors import UserError
from mcore.common.printable import printable_message
from mcore.common.progress import progress_bar
from mcore.config import NETWORKS, ClipConfig, PresetName, from_dict, to_dict
from mcore.data.cache import CACHE, CacheReport, clip_bytes, fill_cache
from mcore.data.commands import MAX_SHOWN, print_left_out
from mcore.data.labels import LeftOut
from mcore.data.manifest import MANIFEST, list_folder
from mcore.data.sources import Source, read_source

_SIZES = ("resize_height", "resize_width")


@dataclass(frozen=True)
class Cache:
    """Decode the clips of a data set to memory-mapped arrays, once; what is there already is kept.

    Training and evaluation decode what is missing by themselves; this does it beforehand, and names bad clips. The exit
    code is 1 where a line or a clip cannot be read.

        mcore-data cache finediving.jsonl --preset paper
    """

    dataset: Annotated[Path, tyro.conf.Positional]
    """A list of dives (.jsonl, .csv), FineDiving's or MTL-AQA's folder, or FineDiving's labels as JSON lines."""
    out: Path | None = None
    """Folder of the clips; default: .clips beside the list of dives, where training looks (elsewhere: --cache)."""
    frames: Path | None = None
    """Folder of the images, if not where the data set has them."""
    preset: PresetName = "paper"
    """Preset whose number and size of frames are decoded."""
    num_frames: int | None = None
    """Frames sampled from a clip, instead of the preset's."""
    resize_height: int | None = None
    """Height of the frames, pixels, instead of the preset's."""
    resize_width: int | None = None
    """Width of the frames, pixels, instead of the preset's."""
    workers: int | None = None
    """Threads; default: one a core."""

    def run(self) -> int:
        """Decode, and say what there is; returns 1 where lines or clips cannot be read."""
        if self.workers is not None and self.workers < 1:
            raise UserError(f"--workers {self.workers}; at least 1")
        source, config = read_source(self.dataset, self.frames), self._clip_config()
        out = self.out or _default_folder(source)
        records = [dive.record for dive in source.dives if dive.record is not None]
        workers = self.workers or os.cpu_count() or 1
        with progress_bar("decoding clips", len(records)) as on_clip:
            report = fill_cache(
                records,
                config,
                out,
                workers=workers,
                skip_unreadable=True,
                advice="choose another folder with --out, or decode fewer frames or smaller ones",
                on_clip=on_clip,
            )
        _print_report(report, config, out, workers)
        left_out = [LeftOut(dive.name, dive.problem or "") for dive in source.dives if dive.record is None]
        print_left_out(left_out)
        return 1 if report.unreadable or left_out else 0

    def _clip_config(self) -> ClipConfig:
        preset = NETWORKS[self.preset].clip
        given = {"num_frames": self.num_frames, "resize_height": self.resize_height, "resize_width": self.resize_width}
        changes = {name: value for name, value in given.items() if value is not None}
        if bad := {name: value for name, value in changes.items() if value < 1}:
            raise UserError(f"{', '.join(f'{name} {value}' for name, value in bad.items())}; at least 1")
        smallest = min(preset.crop_size, *(changes.get(name, preset.crop_size) for name in _SIZES))
        return from_dict(ClipConfig, to_dict(preset) | changes | {"crop_size": smallest})  # kept uncropped


def _default_folder(source: Source) -> Path:
    if source.kind != "manifest":
        raise UserError(
            f"{source.path} is not a list of dives, so training does not know where its clips are: give --out, and "
            "the same folder to training as --cache"
        )
    return list_folder(source.path / MANIFEST if source.path.is_dir() else source.path) / CACHE


def _print_report(report: CacheReport, config: ClipConfig, out: Path, workers: int) -> None:
    clips = report.num_new + report.num_there
    for path, reason in report.unreadable[:MAX_SHOWN]:
        print(printable_message(f"cannot be read: {path}: {reason}"), file=sys.stderr)
    if len(report.unreadable) > MAX_SHOWN:
        print(f"and {len(report.unreadable) - MAX_SHOWN} more; mcore-data check --decode names them", file=sys.stderr)
    print(
        f"{out}: {clips} clips of {config.num_frames} frames, {config.resize_width} x {config.resize_height} pixels, "
        f"{clips * clip_bytes(config) / 1e6:.1f} MB ({clip_bytes(config) / 1e6:.2f} MB each); "
        f"{report.num_new} decoded in {report.seconds:.1f} s ({report.num_new / report.seconds:.1f} a second, "
        f"{workers} threads), {report.num_there} were there, {len(report.unreadable)} cannot be read"
    )
