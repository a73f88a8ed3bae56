"""Labels against the clips that they are of: transitions that the sampled frames show, found before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from mcore.common.errors import UserError
from mcore.common.progress import progress_bar
from mcore.common.tables import listed
from mcore.config import ClipConfig
from mcore.data.cache import LoadedClip, load_clip
from mcore.data.manifest import DiveRecord
from mcore.video import sampled_transitions


def label_transitions(record: DiveRecord, clip: LoadedClip) -> tuple[int, int]:
    """True transitions of a dive on its sampled frames.

    Raises:
        UserError: not labelled, not within the clip, or so close to each other or the ends that a stage has no
            sampled frame.
    """
    where = f"{record.listed_at}: {record.path}" if record.listed_at else str(record.path)
    if record.transition_frames is None:
        raise UserError(f"{where} has no transition_frames")
    try:
        first, second = sampled_transitions(record.transition_frames, clip.indices)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    num_frames = len(clip.indices)
    if not 0 < first < second < num_frames:
        raise UserError(
            f"{where}: transition_frames {record.transition_frames} become {first} and {second} "
            f"of {num_frames} sampled frames, which leaves a stage empty: check the labels, or sample more"
        )
    return first, second


def check_labels_fit(records: Sequence[DiveRecord], config: ClipConfig, cache_dir: Path | None, workers: int) -> None:
    """Refuse labels that do not fit their clips, all at once, before hours of training end at one of them.

    Args:
        records: dives; those without transitions pass.
        config: sampling contract.
        cache_dir: folder of decoded clips; None decodes every clip once, to very small frames.
        workers: threads, two at least.

    Raises:
        UserError: labels do not fit; each is named with its list and line.
        ClipError: a clip cannot be read.
    """
    labelled = [record for record in records if record.transition_frames is not None]
    small = config if cache_dir is not None else replace(config, resize_height=8, resize_width=8, crop_size=8)
    with progress_bar("checking labels", len(labelled)) as on_clip, ThreadPoolExecutor(max(2, workers)) as pool:
        found = list(pool.map(lambda record: _label_error(record, small, cache_dir, on_clip), labelled))
    if errors := [fault for fault in found if fault is not None]:
        count = f"{len(errors)} labels do not fit their clips:\n  " if len(errors) > 1 else ""
        raise UserError(f"{count}{listed(errors)}")


def _label_error(
    record: DiveRecord, config: ClipConfig, cache_dir: Path | None, on_clip: Callable[[], object]
) -> str | None:
    clip = load_clip(record, config, cache_dir)
    on_clip()
    try:
        label_transitions(record, clip)
    except UserError as error:
        return str(error)
    return None
