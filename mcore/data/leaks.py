"""Dives that are there twice: the same part of the same video, whatever their paths and windows look like.

A video is known by its content, so that links, detours and copies of a file are one; parts of it are the same where
they overlap.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from mcore.data.manifest import DiveRecord

_TOUCH_S = 0.05
"""Windows that share no more are neighbours: where one dive ends the next may begin, to the frame."""
_SAME_SHARE = 0.5
"""Windows of one split that share more of the shorter one are one dive; others may be two dives in close order."""
_BLOCK = 1 << 20


def repeats(records: Sequence[DiveRecord]) -> Iterator[tuple[int, int]]:
    """Find the dives that repeat an earlier one.

    Args:
        records: dives of a list.

    Yields:
        Positions of each two dives that are one, the earlier of the list first.
    """
    places: dict[Hashable, list[int]] = defaultdict(list)
    for position, video in enumerate(identities(records)):
        places[video].append(position)
    for positions in places.values():
        yield from _overlaps(records, positions)


def distinct(records: Sequence[DiveRecord]) -> tuple[list[DiveRecord], list[DiveRecord]]:
    """Divide dives into those that are there once, and repeats of them."""
    again = {later for _, later in repeats(records)}
    kept = [record for position, record in enumerate(records) if position not in again]
    return kept, [records[position] for position in sorted(again)]


def unseen(records: Sequence[DiveRecord], known: Sequence[DiveRecord]) -> list[DiveRecord]:
    """Dives that repeat none of the known ones, which are of another split."""
    pairs = repeats([*known, *records])
    again = {later - len(known) for earlier, later in pairs if earlier < len(known) <= later}
    return [record for position, record in enumerate(records) if position not in again]


def identities(records: Sequence[DiveRecord]) -> list[Hashable]:
    """Give the video of each dive what tells it from others: its content, where another is as large.

    Folders of images are copies only where their dives' labels are the same too: placeholders are alike for many.
    Only files of equal size are read, so that a set without copies costs no more than its listing.
    """
    paths = [record.path.resolve() for record in records]
    sizes = {path: file_sizes(path) for path in set(paths)}
    alike = Counter(sizes.values())
    contents = {path: _content(path) for path, size in sizes.items() if size and alike[size] > 1}
    videos: list[Hashable] = []
    first: dict[Hashable, Path] = {}
    for path, record in zip(paths, records, strict=True):
        labels = (record.dive_number, record.score) if path.is_dir() else ()
        content = contents.get(path)
        videos.append(path if content is None else first.setdefault((content, *labels), path))
    return videos


def _overlaps(records: Sequence[DiveRecord], positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Compare the windows of one video, in order of their beginnings."""
    earlier: list[int] = []
    for later in sorted(positions, key=lambda position: (window(records[position])[0], position)):
        start = window(records[later])[0]
        earlier = [position for position in earlier if window(records[position])[1] > start]
        for position in earlier:
            if _is_repeat(records[position], records[later]):
                yield min(position, later), max(position, later)
        earlier.append(later)


def _is_repeat(one: DiveRecord, two: DiveRecord) -> bool:
    windows = window(one), window(two)
    if one.split != two.split:
        return do_overlap(*windows)
    shared_s = _shared_s(*windows)
    return math.isinf(shared_s) or shared_s > _SAME_SHARE * _shorter_s(*windows)


def do_overlap(one: tuple[float, float], two: tuple[float, float]) -> bool:
    """Return whether two windows of a video share more than neighbours do, seconds."""
    return _shared_s(one, two) > min(_TOUCH_S, _shorter_s(one, two) / 2)


def _shared_s(one: tuple[float, float], two: tuple[float, float]) -> float:
    return min(one[1], two[1]) - max(one[0], two[0])


def _shorter_s(one: tuple[float, float], two: tuple[float, float]) -> float:
    return min(one[1] - one[0], two[1] - two[0])


def window(record: DiveRecord) -> tuple[float, float]:
    """Beginning and end of a dive in its video, seconds; infinite: to the end."""
    return record.start_s or 0.0, math.inf if record.end_s is None else record.end_s


def file_sizes(path: Path) -> tuple[int, ...]:
    """Sizes of a video or of the images of a folder, in the order of their names; empty where there is nothing."""
    try:
        return tuple(file.stat().st_size for file in files_of(path))
    except OSError:
        return ()


def _content(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        for file in files_of(path):
            with file.open("rb") as opened:
                while block := opened.read(_BLOCK):
                    digest.update(block)
    except OSError:  # unreadable: its path is all that is known
        return None
    return digest.hexdigest()


def files_of(path: Path) -> list[Path]:
    """A video, or the images of a folder in the order of their names."""
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
