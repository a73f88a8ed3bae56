"""Sampled clips, decoded once and kept on disk as memory-mappable arrays.

A clip's file is named by a hash of everything that its pixels depend on (the video's path, size and time of
change, the clip's limits, the sampling contract), so a changed video or contract simply never meets an old
file. Torch-free.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import ClipError, UserError
from mcore.common.files import replacing
from mcore.config import ClipConfig
from mcore.data.manifest import DiveRecord
from mcore.video import sample_clip
from mcore.video.yuv import CONVERSION_VERSION

CACHE = ".clips"
"""Folder beside a list of dives in which training and evaluation look for decoded clips."""
CACHE_VERSION = 1
"""Part of every key; raise it when sampling or resizing changes."""


@dataclass(frozen=True)
class LoadedClip:
    """Sampled, resized frames of a dive, before cropping."""

    frames: NDArray[np.uint8]
    """(T, resize_height, resize_width, 3) RGB; read-only where it comes from the cache."""
    indices: NDArray[np.int64]
    """(T,) source frame of each."""


def load_clip(record: DiveRecord, config: ClipConfig, cache_dir: Path | None = None) -> LoadedClip:
    """Read a dive's sampled frames, from the cache where they are there, and put them there where not.

    Args:
        record: the dive.
        config: sampling contract.
        cache_dir: folder of the cache; None decodes every time.

    Raises:
        ClipError: the video is missing or cannot be read.
    """
    if cache_dir is None:
        return _decode(record, config)
    if (cached := _read_cached(record, config, cache_dir)) is not None:
        return cached
    frames_path, indices_path = _cache_files(record, config, cache_dir)
    clip = _decode(record, config)
    _write_array(indices_path, clip.indices)
    _write_array(frames_path, clip.frames)
    return clip


@dataclass(frozen=True)
class CacheReport:
    """Outcome of decoding the clips of a data set."""

    num_new: int
    """Clips decoded now."""
    num_there: int
    """Clips that were in the cache already."""
    unreadable: tuple[tuple[Path, str], ...]
    """Clips that cannot be read, with the reason."""
    seconds: float


def fill_cache(
    records: Iterable[DiveRecord],
    config: ClipConfig,
    cache_dir: Path,
    *,
    workers: int = 1,
    skip_unreadable: bool = False,
    advice: str = "choose another folder with --cache DIR, or decode in every epoch with --no-cache",
    on_clip: Callable[[], object] = lambda: None,
) -> CacheReport:
    """Decode every dive that is not in the cache.

    Args:
        records: dives.
        config: sampling contract.
        cache_dir: folder of the cache, made if needed.
        workers: threads; decoding and resizing release Python's lock.
        skip_unreadable: go on after a video that cannot be read, and report it.
        advice: end of the message where the disk is too small.
        on_clip: called after each dive.

    Raises:
        UserError: the clips do not fit on the disk.
        ClipError: a video cannot be read.
    """
    began = time.perf_counter()
    cache_dir.mkdir(parents=True, exist_ok=True)
    records = list(records)
    missing: list[DiveRecord] = []
    unreadable: list[tuple[Path, str]] = []
    for record in records:
        try:
            if _read_cached(record, config, cache_dir) is None:
                missing.append(record)
                continue
        except ClipError as error:
            if not skip_unreadable:
                raise
            unreadable.append((record.path, str(error)))
        on_clip()
    num_there = len(records) - len(missing) - len(unreadable)
    _check_space(len(missing), config, cache_dir, advice)
    for record, problem in _decode_all(missing, config, cache_dir, workers):
        if problem is not None:
            if not skip_unreadable:
                raise problem
            unreadable.append((record.path, str(problem)))
        on_clip()
    num_new = len(records) - num_there - len(unreadable)
    return CacheReport(num_new, num_there, tuple(sorted(unreadable)), time.perf_counter() - began)


def _decode_all(
    records: Sequence[DiveRecord], config: ClipConfig, cache_dir: Path, workers: int
) -> Iterator[tuple[DiveRecord, ClipError | None]]:
    """Put clips into the cache by several threads; yields each as it is done, with what kept it from being read."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        futures = {pool.submit(_store, record, config, cache_dir): record for record in records}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _store(record: DiveRecord, config: ClipConfig, cache_dir: Path) -> ClipError | None:
    """Put a clip into the cache, and nothing into the future: it would keep the frames until all are done."""
    try:
        load_clip(record, config, cache_dir)
    except ClipError as error:
        return error
    return None


def clip_bytes(config: ClipConfig) -> int:
    """Size of a clip's frames in the cache."""
    return int(np.prod(_frames_shape(config)))


def _check_space(num_clips: int, config: ClipConfig, cache_dir: Path, advice: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        UserError: so many clips do not fit on the disk; the message ends with ``advice``.
    """
    needed, free = num_clips * clip_bytes(config), shutil.disk_usage(cache_dir).free
    if needed > free:
        raise UserError(
            f"the cache of {num_clips} clips needs {needed / 1e9:.1f} GB, {cache_dir} has {free / 1e9:.1f} GB free; "
            f"{advice}"
        )


def _read_cached(record: DiveRecord, config: ClipConfig, cache_dir: Path) -> LoadedClip | None:
    """Return a clip that lies in the cache, whole; a ClipError says that there is no such video."""
    frames_path, indices_path = _cache_files(record, config, cache_dir)
    with suppress(Exception):  # absent, cut short by a full disk, or no array at all: then it is decoded anew
        frames = np.load(frames_path, mmap_mode="r")
        indices = np.load(indices_path)
        if frames.shape == _frames_shape(config) and indices.shape == (config.num_frames,):
            return LoadedClip(frames, indices)
    return None


def _decode(record: DiveRecord, config: ClipConfig) -> LoadedClip:
    clip = sample_clip(record.path, config, start_s=record.start_s, end_s=record.end_s)
    return LoadedClip(clip.frames, clip.indices)


def _frames_shape(config: ClipConfig) -> tuple[int, int, int, int]:
    return (config.num_frames, config.resize_height, config.resize_width, 3)


def _cache_files(record: DiveRecord, config: ClipConfig, cache_dir: Path) -> tuple[Path, Path]:
    """Files of a dive's frames and source indices."""
    identity = {
        "version": CACHE_VERSION,
        "conversion": CONVERSION_VERSION,
        "source": _identity(record.path),
        "limits": [record.start_s, record.end_s],
        "frames": _frames_shape(config),
    }
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    return cache_dir / f"{key}.frames.npy", cache_dir / f"{key}.indices.npy"


def _identity(path: Path) -> list[list[object]]:
    """Path, size and time of change of a video, or of each image of a folder."""
    try:
        resolved = path.resolve(strict=True)
        files = sorted(resolved.iterdir()) if resolved.is_dir() else [resolved]
        return [[str(file), (stat := file.stat()).st_size, stat.st_mtime_ns] for file in files]
    except OSError as error:
        raise ClipError(f"cannot read {path}: {error.strerror}; the list of dives names it: check its path") from error


def _write_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write atomically; two processes that decode the same clip both leave a whole file."""
    with replacing(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
