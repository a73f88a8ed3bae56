"""The subcommand ``mcore-data cache``: decode every clip once, before training and evaluation need them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import Progress

from mcore.common.errors import ClipError, UserError
from mcore.config import NETWORKS, ClipConfig, PresetName, from_dict, to_dict
from mcore.data.cache import check_space, clip_bytes, is_cached, load_clip
from mcore.data.manifest import DiveRecord
from mcore.data.sources import Source, read_source

CACHE = ".clips"
"""Folder beside a list of dives in which training and evaluation look for decoded clips."""
_SHOWN = 5
_SIZES = ("resize_height", "resize_width")


@dataclass(frozen=True)
class CacheReport:
    """What became of each clip of a data set."""

    num_new: int
    """Clips decoded now."""
    num_there: int
    """Clips that were in the cache already."""
    unreadable: tuple[tuple[Path, str], ...]
    """Clips that cannot be read, with the reason."""
    seconds: float


@dataclass(frozen=True)
class Cache:
    """Decode the clips of a data set to memory-mapped arrays, once; what is there already is kept.

    Training and evaluation decode what is missing by themselves; this does it beforehand, and names bad clips.
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
        """Decode, and say what there is; returns 1 where clips cannot be read."""
        if self.workers is not None and self.workers < 1:
            raise UserError(f"--workers {self.workers}; at least 1")
        source, config = read_source(self.dataset, self.frames), self._clip_config()
        out = self.out or _default_folder(source)
        records = [dive.record for dive in source.dives if dive.record is not None]
        workers = self.workers or os.cpu_count() or 1
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("decoding clips", total=len(records))
            report = decode_all(records, config, out, workers=workers, on_clip=lambda: progress.advance(task))
        _print_report(report, config, out, workers)
        for name, reason in [(dive.name, dive.problem) for dive in source.dives if dive.record is None][:_SHOWN]:
            print(f"left out {name}: {reason}", file=sys.stderr)
        return 1 if report.unreadable else 0

    def _clip_config(self) -> ClipConfig:
        preset = NETWORKS[self.preset].clip
        given = {"num_frames": self.num_frames, "resize_height": self.resize_height, "resize_width": self.resize_width}
        changes = {name: value for name, value in given.items() if value is not None}
        if bad := {name: value for name, value in changes.items() if value < 1}:
            raise UserError(f"{', '.join(f'{name} {value}' for name, value in bad.items())}; at least 1")
        smallest = min(preset.crop_size, *(changes.get(name, preset.crop_size) for name in _SIZES))
        return from_dict(ClipConfig, to_dict(preset) | changes | {"crop_size": smallest})  # kept uncropped


def decode_all(
    records: Sequence[DiveRecord],
    config: ClipConfig,
    cache_dir: Path,
    *,
    workers: int = 1,
    on_clip: Callable[[], object] = lambda: None,
) -> CacheReport:
    """Decode every clip that is not in a cache; a clip that cannot be read does not stop the others.

    Args:
        records: dives.
        config: number and size of frames.
        cache_dir: folder of the cache, made if needed.
        workers: threads; decoding and resizing release Python's lock.
        on_clip: called after each clip.

    Raises:
        UserError: the clips do not fit on the disk.
    """
    began = time.perf_counter()
    cache_dir.mkdir(parents=True, exist_ok=True)
    absent = sum(not _is_there(record, config, cache_dir) for record in records)
    check_space(absent, config, cache_dir, "choose another folder with --out, or decode fewer frames or smaller ones")

    def decode(record: DiveRecord) -> tuple[bool, str]:
        try:
            there = is_cached(record, config, cache_dir)
            load_clip(record, config, cache_dir)
        except ClipError as error:
            return False, str(error)
        finally:
            on_clip()
        return there, ""

    pool = ThreadPoolExecutor(workers)
    try:
        done = list(pool.map(decode, records))
    finally:
        pool.shutdown(cancel_futures=True)
    unreadable = tuple((record.path, reason) for record, (_, reason) in zip(records, done, strict=True) if reason)
    num_there = sum(there for there, _ in done)
    num_new = len(records) - num_there - len(unreadable)
    return CacheReport(num_new, num_there, unreadable, time.perf_counter() - began)


def _is_there(record: DiveRecord, config: ClipConfig, cache_dir: Path) -> bool:
    try:
        return is_cached(record, config, cache_dir)
    except ClipError:  # named when its turn comes
        return True


def _default_folder(source: Source) -> Path:
    if source.kind != "manifest":
        raise UserError(
            f"{source.path} is not a list of dives, so training does not know where its clips are: give --out, and "
            "the same folder to training as --cache"
        )
    folder = source.path if source.path.is_dir() else source.path.parent
    return folder / CACHE


def _print_report(report: CacheReport, config: ClipConfig, out: Path, workers: int) -> None:
    clips = report.num_new + report.num_there
    for path, reason in report.unreadable[:_SHOWN]:
        print(f"cannot be read: {path}: {reason}", file=sys.stderr)
    if len(report.unreadable) > _SHOWN:
        print(f"and {len(report.unreadable) - _SHOWN} more; mcore-data check --decode names them", file=sys.stderr)
    print(
        f"{out}: {clips} clips of {config.num_frames} frames, {config.resize_width} x {config.resize_height} pixels, "
        f"{clips * clip_bytes(config) / 1e6:.1f} MB ({clip_bytes(config) / 1e6:.2f} MB each); "
        f"{report.num_new} decoded in {report.seconds:.1f} s ({report.num_new / report.seconds:.1f} a second, "
        f"{workers} threads), {report.num_there} were there, {len(report.unreadable)} cannot be read"
    )
