"""Dives that a network was trained on, as its checkpoint and its bundles record them, and a check that others are new.

A list can be split anew after a training. Its validation and test dives are then no measure of the network, and neither
list nor network shows it. So the dives themselves are recorded: by what their videos hold, without names.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.common.typed_json import convert
from mcore.data.leaks import do_overlap, file_sizes, files_of, window
from mcore.data.manifest import DiveRecord, Origin
from mcore.data.trained_on import TrainedOn

_KEY = "trained_dives"
"""Of a checkpoint's other content."""
_END_BYTES = 1 << 16
"""Read of each end of a file. With its size that tells videos apart, and reads no whole data set."""


Dive = tuple[str, float, float | None]
"""Fingerprint of a dive's video, and its window there, seconds; None: to the end."""


@dataclass(frozen=True)
class DivesOfOrigin:
    """Dives of one origin, and where it is named, of one event."""

    origin: Origin | None
    event: str | None
    dives: tuple[Dive, ...]


@dataclass(frozen=True)
class TrainedDives:
    """Dives that a network was trained on, those of the training that it started from included."""

    list_name: str
    """Name of the list that they were in."""
    list_sha256: str
    """Digest of that list."""
    groups: tuple[DivesOfOrigin, ...]
    """The dives, each once."""
    is_whole: bool = True
    """False: it may have been trained on others too. Checkpoints of before recorded their list only."""

    @classmethod
    def of(cls, records: Sequence[DiveRecord], listing: Path, before: TrainedDives | None) -> TrainedDives:
        """Record training dives.

        Args:
            records: the dives.
            listing: their list.
            before: of the training that this one starts from; None: of none.
        """
        earlier = () if before is None else before.groups
        stated = {dive: (group.origin, group.event) for group in earlier for dive in group.dives}
        for record, video in zip(records, _fingerprints(records), strict=True):
            start_s, end_s = window(record)
            dive = (video or "", start_s, None if math.isinf(end_s) else end_s)
            # A list that has come to state the origins of dives that were trained on before is believed.
            if video is not None and (record.origin is not None or dive not in stated):
                stated[dive] = (record.origin, record.event)
        groups = defaultdict(list)
        for dive, origin in stated.items():
            groups[origin].append(dive)
        found = tuple(DivesOfOrigin(*origin, tuple(dives)) for origin, dives in groups.items())
        digest = hashlib.sha256(listing.read_bytes()).hexdigest()
        return cls(listing.name, digest, found, before is None or before.is_whole)

    @property
    def dives(self) -> tuple[Dive, ...]:
        """All of them."""
        return tuple(dive for group in self.groups for dive in group.dives)

    def summary(self) -> TrainedOn | None:
        """Count them by origin; None: nothing is known of them."""
        if not self.is_whole and not self.groups:
            return None
        counts: Counter[Origin | None] = Counter()
        for group in self.groups:
            counts[group.origin] += len(group.dives)
        events = tuple(sorted({group.event for group in self.groups if group.event is not None}))
        return TrainedOn(counts["real"], counts["rendered"], counts[None], events, self.is_whole)

    def overlapping(self, records: Sequence[DiveRecord]) -> list[DiveRecord]:
        """Those of some dives that show a part of what was trained on."""
        windows = defaultdict(list)
        for video, start_s, end_s in self.dives:
            windows[video].append((start_s, math.inf if end_s is None else end_s))
        pairs = zip(records, _fingerprints(records), strict=True)
        return [r for r, video in pairs if any(do_overlap(window(r), known) for known in windows.get(video or "", ()))]


NOT_RECORDED = TrainedDives("", "", (), is_whole=False)
"""Of a network that does not say what it was trained on."""


def in_checkpoint(trained: TrainedDives) -> dict[str, Any]:
    """What ``recorded_dives`` reads from a checkpoint's other content, as plain containers."""
    return {_KEY: asdict(trained)}


def recorded_dives(extra: Mapping[str, Any], checkpoint: Path) -> TrainedDives:
    """Read what a checkpoint says of its training dives; published ones say nothing.

    Raises:
        UserError: it is damaged.
    """
    if (found := extra.get(_KEY)) is not None:
        return convert(TrainedDives, found, f"{checkpoint}, its training dives")
    data = extra.get("data")
    if not isinstance(data, dict) or "start_from" in extra:  # the list of another training is not recorded
        return NOT_RECORDED
    return TrainedDives(Path(str(data.get("manifest"))).name, str(data.get("sha256")), (), is_whole=False)


def check_new(trained: TrainedDives, dives: Sequence[DiveRecord], listing: Path, network: Path) -> str | None:
    """Make sure that a network was trained on none of the dives that are to measure it.

    Args:
        trained: the network's record.
        dives: validation or test dives.
        listing: the list that they come from.
        network: checkpoint or bundle, for messages.

    Returns:
        What should be said about the list; None: nothing.

    Raises:
        UserError: it was trained on some of them.
    """
    if known := trained.overlapping(dives):
        splits = " and ".join(sorted({str(record.split) for record in known}))
        raise UserError(
            f"{network} was trained on {len(known)} of the {len(dives)} dives of {listing} that are to measure it "
            f"(split {splits}; the first: {known[0].listed_at or known[0].path}), which would flatter it. It was "
            f"trained with {trained.list_name} (sha256 {trained.list_sha256[:12]}): give that list, or give these "
            "dives the split train again, or train anew with this list: python -m mcore.train"
        )
    is_same_list = hashlib.sha256(listing.read_bytes()).hexdigest() == trained.list_sha256
    if is_same_list and (trained.is_whole or not trained.dives):
        return None
    if not trained.is_whole:
        return (
            f"{network} does not record every dive that it was trained on, so nothing shows that the {len(dives)} "
            f"validation and test dives of {listing} are new to it"
        )
    return (
        f"{listing} is not as {trained.list_name} was when {network} was trained; none of its {len(dives)} dives that "
        "measure it was trained on"
    )


def _fingerprints(records: Sequence[DiveRecord]) -> list[str | None]:
    """What tells each dive's video from others, however it is named; None: it cannot be read."""
    paths = [record.path.resolve() for record in records]
    found = {path: _fingerprint(path) for path in set(paths)}
    return [found[path] for path in paths]


def _fingerprint(path: Path) -> str | None:
    if not (sizes := file_sizes(path)):
        return None
    digest = hashlib.sha256(repr(sizes).encode())
    try:
        files = files_of(path)
        for file in dict.fromkeys((files[0], files[len(files) // 2], files[-1])):
            with file.open("rb") as opened:
                digest.update(opened.read(_END_BYTES))
                opened.seek(max(opened.seek(0, 2) - _END_BYTES, 0))
                digest.update(opened.read())
    except OSError:
        return None
    return digest.hexdigest()[:24]
