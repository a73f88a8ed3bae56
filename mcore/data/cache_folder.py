"""The folder of decoded clips: where it is, whether it can be written, and what is missing in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mcore.common.errors import UserError
from mcore.common.progress import progress_bar
from mcore.config import ClipConfig
from mcore.data.cache import CACHE, fill_cache
from mcore.data.manifest import DiveRecord


def cache_folder(data: Path, cache: Path | None, no_cache: bool) -> Path | None:
    """Return the folder of decoded clips: ``--cache``, or beside the list of dives; None for ``--no-cache``.

    Raises:
        UserError: no folder can be made there.
    """
    if no_cache:
        return None
    folder = cache or data.resolve().parent / CACHE
    check_folder(folder, "--cache", "choose another --cache DIR, or decode in every epoch with --no-cache")
    return folder


def check_folder(folder: Path, flag: str, advice: str) -> None:
    """Refuse a folder that cannot be made or written to, before hours of work; makes nothing.

    Args:
        folder: the folder to write to.
        flag: what named it, for the message.
        advice: the message's end.

    Raises:
        UserError: a file is in the way, or the place is not writable.
    """
    there = next(place for place in (folder, *folder.resolve().parents) if place.exists() or place.is_symlink())
    if not there.is_dir():
        raise UserError(f"{flag} {folder} cannot be a folder: {there} is a file; {advice}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{flag} {folder} cannot be written: no right to write in {there}; {advice}")


def decode_missing(records: Sequence[DiveRecord], config: ClipConfig, cache_dir: Path, workers: int) -> None:
    """Decode the clips that are not in the cache, with a progress bar on a terminal.

    Args:
        records: dives.
        config: number and size of frames.
        cache_dir: folder of the cache.
        workers: threads, two at least.
    """
    with progress_bar("decoding clips", len(records)) as on_clip:
        fill_cache(records, config, cache_dir, workers=max(2, workers), on_clip=on_clip)
