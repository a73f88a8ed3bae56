"""Dives of a rendered data set drawn again: as they are, without the diver or the splash, or with a fault moved.

A dive is drawn, encoded and read as its own file was, so that nothing differs but what was asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.common.typed_json import convert, decode
from mcore.config import ClipConfig
from mcore.data.cache import LoadedClip
from mcore.data.label_fit import label_transitions
from mcore.data.manifest import DiveRecord, list_folder
from mcore.data.rendered_dives import RenderSettings, dive_jobs
from mcore.data.rendered_folder import SETTINGS, VERSION
from mcore.data.rendered_replicas import PLANS, ReplicaSettings, replica_path
from mcore.synthetic.plan import DivePlan, plan_dive
from mcore.synthetic.poses import limb_directions
from mcore.synthetic.render import RENDERER_VERSION, Hideable, look_of, render_plan, seen_joints
from mcore.synthetic.replica import ReplicaLabel, plan_replica, render_replica
from mcore.synthetic.video import write_video
from mcore.synthetic.worlds import World
from mcore.video import crop, sample_clip

_ADVICE = "render the data set again, or measure what needs no drawing (--no-drawing)"


@dataclass(frozen=True, eq=False)
class ShownDive:
    """What a network is shown of a dive."""

    frames: NDArray[np.uint8]
    """(T, c, c, 3) RGB, centre crop."""
    transitions: tuple[int, int]
    """First sampled frame of the flight and of the entry, as labelled."""


@dataclass(frozen=True)
class Drawing:
    """What decides the pixels of a listed dive."""

    subject: str | ReplicaLabel
    """Dive number, or the label of a replica."""
    seed: int
    """Seed of the dive."""
    width: int
    """Width of a frame, pixels."""
    height: int
    """Height of a frame, pixels."""
    world: World = "standard"
    """Where it is dived."""

    def plan(self, severities: Mapping[str, float] | None = None) -> DivePlan:
        """Plan the dive, with other severities of some faults where they are given."""
        if isinstance(self.subject, str):
            return plan_dive(self.subject, self.seed, severities=severities, world=self.world)
        return plan_replica(self.subject, self.seed, severities).plan

    def limb_directions(self) -> NDArray[np.float32]:
        """Poses (N, 18) of the diver in the N frames of the video, as ``mcore.synthetic.poses`` describes them."""
        if isinstance(self.subject, str):
            plan = self.plan()
            return limb_directions(seen_joints(plan, look_of(plan)))
        replica = plan_replica(self.subject, self.seed)
        return limb_directions(seen_joints(replica.plan, replica.nuisance.look))


@dataclass(frozen=True)
class _Plan:
    """Line of a replica's plan, as far as it is needed here."""

    label: ReplicaLabel


@dataclass(frozen=True)
class Redrawing:
    """A dive to be drawn again, and how."""

    drawing: Drawing
    config: ClipConfig
    """Sampling contract of the network that will see it."""
    hidden: Hideable | None = None
    """What is left out."""
    severities: tuple[tuple[str, float], ...] = ()
    """Faults that are moved, with their severity."""


def redraw(job: Redrawing) -> ShownDive:
    """Draw, encode and read a dive."""
    drawing, severities = job.drawing, dict(job.severities)
    size: dict[str, Any] = {"width": drawing.width, "height": drawing.height, "hidden": job.hidden}
    if isinstance(drawing.subject, str):
        dive, quality = render_plan(drawing.plan(severities), **size), {}
    else:
        replica = plan_replica(drawing.subject, drawing.seed, severities)
        dive, quality = render_replica(replica, **size), {"crf": replica.nuisance.crf}
    plan = dive.plan
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "dive.mp4"
        write_video(video, dive.frames, plan.fps, **quality)
        clip = sample_clip(video, job.config)
        record = DiveRecord(video, plan.dive_number, plan.score, transition_frames=plan.transition_frames)
        transitions = label_transitions(record, LoadedClip(clip.frames, clip.indices))
    return ShownDive(np.array(crop(clip.frames, job.config)), transitions)


def find_drawings(listing: Path, records: Sequence[DiveRecord]) -> list[tuple[Drawing, DivePlan]] | None:
    """Find out how listed dives were drawn.

    Args:
        listing: the list of dives.
        records: dives of it.

    Returns:
        One for each, with its plan; None where the list lies in no folder of rendered dives.

    Raises:
        UserError: a dive is none of the folder's, or was drawn by another version of the renderer.
    """
    folder = list_folder(listing)
    path = folder / SETTINGS
    settings = decode(dict[str, Any], path.read_bytes(), str(path)) if path.is_file() else {}
    if not {"dives_per_number", "labels_sha256"} & set(settings):  # somebody else's settings
        return None
    known = _known_drawings(folder, settings, str(path))
    drawings = []
    for record in records:
        drawing = known.get(record.path.resolve())
        if drawing is None:
            raise UserError(f"{record.path} was not drawn with {path}; {_ADVICE}")
        plan = drawing.plan()
        now = (plan.score, plan.num_frames, plan.transition_frames)
        if now != (record.score, record.num_frames, record.transition_frames):
            raise UserError(f"{record.path} was drawn by another version of the renderer; {_ADVICE}")
        drawings.append((drawing, plan))
    return drawings


def _known_drawings(folder: Path, settings: dict[str, Any], where: str) -> dict[Path, Drawing]:
    """How each file of a folder was drawn."""
    if (version := settings.get(VERSION, 1)) != RENDERER_VERSION:  # the first one was not written down
        raise UserError(f"{where}: drawn by version {version} of the renderer, not {RENDERER_VERSION}; {_ADVICE}")
    if "labels_sha256" not in settings:
        chosen = convert(RenderSettings, settings, where)
        jobs = dive_jobs(folder, chosen)
        return {job.path.resolve(): Drawing(job.number, job.seed, job.width, job.height, job.world) for job in jobs}
    size = convert(ReplicaSettings, settings, where)
    known = {}
    for number, line in enumerate((folder / PLANS).read_text(encoding="utf-8").splitlines(), start=1):
        label = decode(_Plan, line, f"{folder / PLANS}, line {number}").label
        known[replica_path(folder, label).resolve()] = Drawing(label, size.seed, size.width, size.height)
    return known
