"""Check of a data set of dives before hours are spent on it: labels, splits, rules, images and videos."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mcore.common.errors import ClipError, UserError
from mcore.config import ClipConfig
from mcore.data.cache import LoadedClip
from mcore.data.findings import Finding, Report
from mcore.data.label_checks import check_labels, check_set, classify_difficulty, transition_figures
from mcore.data.label_fit import label_transitions
from mcore.data.labels import LabelledDive
from mcore.data.manifest import SPLITS, DiveRecord
from mcore.data.sources import Source
from mcore.diving import NEWEST, Edition
from mcore.video import sample_clip
from mcore.video.image_folder import describe_gaps, list_images, read_image
from mcore.video.reader import IMAGE_FOLDER_FPS
from mcore.video.sampling import sample_indices

_SMALL = ClipConfig(resize_height=8, resize_width=8, crop_size=8)
"""A video is decoded to its end whatever is kept of it; the frames are sampled as the published network does."""


def check_source(
    source: Source,
    *,
    decode: bool = False,
    workers: int = 1,
    on_clip: Callable[[], object] = lambda: None,
    edition: Edition = NEWEST,
) -> Report:
    """Check a data set: labels, splits, rules, and the images where any are there.

    Args:
        source: the data set.
        decode: also decode every image and video.
        workers: threads that look at clips.
        on_clip: called after each clip.
        edition: of the rules, with which difficulties are compared.
    """
    dives = source.dives
    findings = [finding for dive in dives for finding in check_labels(dive, edition)]
    findings += check_set(dives)
    images, image_findings = _check_all_images(source, decode, workers, on_clip)
    records = [dive.record for dive in dives if dive.record is not None]
    splits: Counter[str] = Counter(record.split or "none" for record in records)
    numbers: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        numbers[record.dive_number][record.split or "none"] += 1
    return Report(
        dataset=str(source.path),
        kind=source.kind,
        splits={split: count for split in (*SPLITS, "none") if (count := splits[split])},
        dive_numbers={number: dict(counts) for number, counts in sorted(numbers.items())},
        difficulty=dict(Counter(classify_difficulty(record, edition) for record in records)),
        transitions=transition_figures(dives),
        images=images,
        findings=findings + image_findings,
        rules=str(edition),
    )


def _check_all_images(
    source: Source, decode: bool, workers: int, on_clip: Callable[[], object]
) -> tuple[dict[str, int], list[Finding]]:
    dives = source.dives
    records = [dive.record for dive in dives if dive.record is not None]
    present = sum(record.path.exists() for record in records)
    figures = {"clips": len(records), "present": present, "absent": len(records) - present, "decoded": 0}
    if records and not present:
        where = str(Path(records[0].path))
        if source.kind == "manifest":  # whose paths are its own; data sets may come without their images
            message = f"none of {len(records)} clips is there; paths are relative to the list itself: correct them"
            return figures, [Finding("error", "images", where, message)]
        message = "no clip is there, so images were not checked; say where they are with --frames"
        return figures, [Finding("warning", "images", where, message)]

    def check(dive: LabelledDive) -> list[Finding]:
        found = _check_images(dive, decode=decode)
        on_clip()
        return found

    with ThreadPoolExecutor(max(1, workers)) as pool:
        findings = [finding for found in pool.map(check, dives) for finding in found]
    if decode:
        faulty = {finding.where for finding in findings if finding.severity == "error"}
        figures["decoded"] = present - sum(d.name in faulty for d in dives if d.record and d.record.path.exists())
    return figures, findings


def _check_images(dive: LabelledDive, *, decode: bool) -> list[Finding]:
    """Check a dive's video file or folder of images; no error escapes, whatever the file holds."""
    record = dive.record
    if record is None:
        return []
    try:
        if record.path.is_dir():
            return list(_check_folder(dive.name, record, decode))
        if not record.path.exists():
            return [Finding("error", "images", dive.name, f"no {record.path}")]
        if decode:
            return list(_check_video(dive.name, record))
    except (ClipError, OSError) as error:
        return [Finding("error", "unreadable", dive.name, str(error))]
    except Exception as error:  # one damaged file must not end the check of three thousand
        return [Finding("error", "unreadable", dive.name, f"{record.path}: {type(error).__name__}: {error}")]
    return []


def _check_video(name: str, record: DiveRecord) -> Iterator[Finding]:
    clip = sample_clip(record.path, _SMALL, start_s=record.start_s, end_s=record.end_s)
    if record.num_frames not in (None, clip.num_source_frames):
        message = f"{clip.num_source_frames} frames and {record.num_frames} in the labels"
        yield Finding("warning", "frame-count", name, message)
    yield from _check_fit(name, record, LoadedClip(clip.frames, clip.indices))


def _check_fit(name: str, record: DiveRecord, clip: LoadedClip) -> Iterator[Finding]:
    """Find transitions that training could not take."""
    if record.transition_frames is None:
        return
    try:
        label_transitions(record, clip)
    except UserError as error:
        yield Finding("error", "label-fit", name, str(error))


def _check_folder(name: str, record: DiveRecord, decode: bool) -> Iterator[Finding]:
    try:
        images = list_images(record.path)
    except ClipError as error:
        yield Finding("error", "images", name, str(error))
        return
    start, end = (None if time is None else round(time * IMAGE_FOLDER_FPS) for time in (record.start_s, record.end_s))
    if end is not None and end > len(images):
        yield Finding("error", "images", name, f"{len(images)} images in {record.path}; the clip ends at {end}")
    clip = images[start:end]
    if record.num_frames is not None and len(clip) != record.num_frames and end is None:
        kind = "extra" if len(clip) > record.num_frames else "missing"
        yield Finding(
            "warning", "frame-count", name, f"{len(clip)} images and {record.num_frames} labels ({kind} images)"
        )
    if clip and (gaps := describe_gaps(clip)):
        yield Finding("warning", "frame-gap", name, gaps)
    if decode:
        yield from _unreadable(name, clip)
        if clip:
            indices = sample_indices(len(clip), _SMALL.num_frames)
            yield from _check_fit(name, record, LoadedClip(np.empty((0, 0, 0, 3), np.uint8), indices))


def _unreadable(name: str, images: list[Path]) -> Iterator[Finding]:
    read = [_size_or_error(path) for path in images]
    yield from (Finding("error", "unreadable", name, str(found)) for found in read if isinstance(found, ClipError))
    sizes = sorted({found for found in read if not isinstance(found, ClipError)})
    if len(sizes) > 1:
        text = ", ".join(f"{width} x {height}" for height, width in sizes)
        yield Finding("error", "unreadable", name, f"images of several sizes: {text}")


def _size_or_error(path: Path) -> tuple[int, int] | ClipError:
    try:
        height, width, _ = read_image(path).shape
        return height, width
    except ClipError as error:
        return error
