"""Data sets of rendered replicas: video files with a list of labels; resumable, one process a core."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mcore
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.typed_json import decode, encode
from mcore.data.manifest import MANIFEST, DiveRecord, write_manifest
from mcore.data.rendered_folder import claim, is_whole, remove_abandoned
from mcore.synthetic.faults import FAULT_STAGES
from mcore.synthetic.render import check_size
from mcore.synthetic.replica import Replica, ReplicaLabel, plan_replica, render_replica
from mcore.synthetic.video import write_video
from mcore.synthetic.workers import render_all

PLANS = "plans.jsonl"
"""File with the plan of each replica, one a line."""
PROVENANCE = "provenance.json"
"""File that records which renderings filled the folder, on which machines, with which packages."""
_PACKAGES = ("numpy", "Pillow", "av")
_ABOUT = "Every video is drawn by mcore.synthetic from labels and a seed; none shows a real dive."


@dataclass(frozen=True)
class ReplicaSettings:
    """Everything that decides the pixels of replicas, besides the labels."""

    seed: int = 0
    width: int = 320
    """Width of a frame, pixels."""
    height: int = 180
    """Height of a frame, pixels."""

    def __post_init__(self) -> None:
        check_size(self.width, self.height)
        if self.seed < 0:
            raise UserError(f"seed {self.seed}; it must not be negative")


@dataclass(frozen=True)
class RenderedSet:
    """Result of a rendering."""

    manifest: Path
    records: list[DiveRecord]
    num_new: int
    """Replicas rendered now; the others were there."""
    num_bytes: int
    """Bytes of all videos."""
    seconds: float
    """Duration of this rendering, seconds."""


@dataclass(frozen=True)
class _Job:
    label: ReplicaLabel
    settings: ReplicaSettings
    path: Path


@dataclass(frozen=True)
class _Rendering:
    """One run that rendered replicas of a folder."""

    date: str
    rendered: int
    versions: dict[str, str]
    machine: str


@dataclass(frozen=True)
class _Provenance:
    """Record of the renderings that filled a folder."""

    about: str
    labels: int
    listed: int
    takeoffs_completed: int
    renderings: tuple[_Rendering, ...]


def render_replicas(
    labels: Sequence[ReplicaLabel],
    out: str | Path,
    settings: ReplicaSettings | None = None,
    *,
    limit: int | None = None,
    only: Sequence[str] = (),
    workers: int | None = None,
) -> RenderedSet:
    """Render one replica for each label to an MP4 file, and list them with their labels.

    Videos that are already there whole are kept, so that a killed rendering goes on where it was. The order is
    random but fixed, so that the first dives are a sample of all, and a smaller ``limit`` a part of a larger one.

    Args:
        labels: of all dives, also where ``limit`` or ``only`` takes fewer.
        out: folder; ``<split>/<clip>.mp4`` below it, the list ``manifest.jsonl``, ``plans.jsonl`` (what each replica
            was made of), ``settings.json`` and ``provenance.json``.
        settings: size and seed.
        limit: replicas to have at the end; None: all.
        only: dive numbers to render; empty: all.
        workers: processes; None: one a core.

    Raises:
        UserError: the folder holds another data set, two clips have one name, or no dive has a number of ``only``.
    """
    began = time.perf_counter()
    out, settings = Path(out), settings or ReplicaSettings()
    if limit is not None and limit < 1:
        raise UserError(f"a limit of {limit} dives; at least 1")
    if not labels:
        raise UserError("no labels, so there is nothing to render")
    if missing := sorted(set(only) - {label.dive_number for label in labels}):
        raise UserError(f"no dive of number {', '.join(missing)} in the labels")
    jobs = [job for job in _jobs(labels, out, settings) if not only or job.label.dive_number in only][:limit]
    claim(out, asdict(settings) | {"labels_sha256": labels_digest(labels)})
    remove_abandoned(out)
    done = render_all(_render, jobs, workers)
    records = [_record(job, row) for job, (row, _) in zip(jobs, done, strict=True)]
    write_text(out / PLANS, "".join(json.dumps(row) + "\n" for row, _ in done))
    write_manifest(out / MANIFEST, records)
    num_new, seconds = sum(new for _, new in done), time.perf_counter() - began
    _note_provenance(out, labels, len(jobs), num_new)
    num_bytes = sum(job.path.stat().st_size for job in jobs)
    return RenderedSet(out / MANIFEST, records, num_new, num_bytes, seconds)


def labels_digest(labels: Sequence[ReplicaLabel]) -> str:
    """Hash of all labels, whatever file they came from."""
    return hashlib.sha256(json.dumps([asdict(label) for label in labels]).encode()).hexdigest()


def describe_replica(replica: Replica) -> dict[str, Any]:
    """Everything that a replica was made of, as plain containers."""
    plan = replica.plan
    return {
        "label": asdict(replica.label),
        "panel": replica.panel,
        "awards": plan.awards,
        "residual_points": replica.residual_points,
        "faults": asdict(plan.faults),
        "fair_award": plan.faults.fair_award,
        "stage_points": plan.stage_points,
        "playback_speed": replica.playback_speed,
        "nuisance": asdict(replica.nuisance),
    }


def _jobs(labels: Sequence[ReplicaLabel], out: Path, settings: ReplicaSettings) -> list[_Job]:
    """All replicas, in their fixed random order."""
    jobs = [_Job(label, settings, replica_path(out, label)) for label in labels]
    counts = Counter(job.path.name for job in jobs)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise UserError(f"several clips would be called {twice[0]}; give each its own name in the labels")
    return sorted(jobs, key=lambda job: hashlib.sha256(job.label.clip.encode()).digest())


def replica_path(out: Path, label: ReplicaLabel) -> Path:
    """File of a label's replica in the folder of a data set."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", label.clip).lstrip("._") or "dive"
    return out / label.split / f"{name}.mp4"


def _render(job: _Job) -> tuple[dict[str, Any], bool]:
    """Make sure that a replica is there; returns its description, and whether it had to be rendered."""
    replica = plan_replica(job.label, job.settings.seed)
    new = not is_whole(job.path, job.label.num_frames)
    if new:
        dive = render_replica(replica, width=job.settings.width, height=job.settings.height)
        write_video(job.path, dive.frames, dive.plan.fps, crf=replica.nuisance.crf)
    return describe_replica(replica), new


def _record(job: _Job, made_of: Mapping[str, Any]) -> DiveRecord:
    """List a replica, with what ``describe_replica`` says of it."""
    label = job.label
    return DiveRecord(
        path=job.path,
        dive_number=label.dive_number,
        score=label.score,
        difficulty=label.difficulty,
        split=label.split,
        num_frames=label.num_frames,
        transition_frames=(label.step_frames[0], label.step_frames[-1]),
        stage_points=made_of["stage_points"],
        faults={name: round(made_of["faults"][name], 3) for name in FAULT_STAGES},
        origin="rendered",
    )


def _note_provenance(out: Path, labels: Sequence[ReplicaLabel], num_listed: int, num_new: int) -> None:
    """Add a rendering to what is known about how the videos came to be."""
    path = out / PROVENANCE
    renderings = decode(_Provenance, path.read_bytes(), str(path)).renderings if path.exists() else ()
    if num_new:
        versions = {"mcore": mcore.__version__, "python": platform.python_version()}
        versions |= {name: version(name) for name in _PACKAGES}
        date = datetime.now(timezone.utc).date().isoformat()
        renderings += (_Rendering(date, num_new, versions, platform.machine()),)
    completed = sum(label.completed for label in labels)
    provenance = _Provenance(_ABOUT, len(labels), num_listed, completed, renderings)
    write_text(path, encode(provenance, indent=2) + "\n")
