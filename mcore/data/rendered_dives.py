"""Data sets of rendered dives: video files with a list of labels; resumable, one process a core."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from mcore.common.errors import UserError
from mcore.data.manifest import MANIFEST, DiveRecord, Split, write_manifest
from mcore.data.rendered_folder import claim
from mcore.diving import DiveNumber
from mcore.synthetic.plan import DEMO_NUMBERS, plan_dive
from mcore.synthetic.render import check_size, render_plan
from mcore.synthetic.video import write_video
from mcore.synthetic.workers import render_all
from mcore.synthetic.worlds import FIRST_SEED, JUDGES, World

_SHARES: tuple[tuple[Split, float], ...] = (("train", 0.7), ("val", 0.1), ("test", 0.2))
_SEED_STRIDE = 1_000_003
"""Data sets of different seeds share no dive as long as none has this many of one number."""


@dataclass(frozen=True)
class RenderSettings:
    """Everything that decides the pixels of a data set."""

    dive_numbers: tuple[str, ...] = DEMO_NUMBERS
    """Dive numbers to render."""
    dives_per_number: int = 60
    """Dives of each number; 70 % train, 10 % validation, 20 % test."""
    seed: int = 0
    """Seed of all random choices."""
    width: int = 320
    """Width of a frame, pixels."""
    height: int = 180
    """Height of a frame, pixels."""
    world: World = "standard"
    """Where the dives are dived: pools are random ones, of any looks, to learn from for real footage; other is another
    pool, with a camera, people and judges of its own, to see what a network makes of a place that it does not know."""

    def __post_init__(self) -> None:
        check_size(self.width, self.height)
        if self.dives_per_number < 1 or self.seed < 0:
            raise UserError(
                f"{self.dives_per_number} dives a number with seed {self.seed}; at least 1, and no negative seed"
            )
        if not self.dive_numbers or len(set(self.dive_numbers)) != len(self.dive_numbers):
            raise UserError(f"dive numbers {' '.join(self.dive_numbers) or '(none)'}; give at least one, each once")


@dataclass(frozen=True)
class DiveJob:
    """A dive of a data set: what decides its pixels, and the file that they go to."""

    number: str
    seed: int
    split: Split
    path: Path
    width: int
    height: int
    world: World = "standard"


def render_dataset(out: str | Path, settings: RenderSettings | None = None, *, workers: int | None = None) -> Path:
    """Render dives to MP4 files, and list them with their labels.

    Files that are already there are kept, so that an interrupted rendering goes on where it was.

    Args:
        out: folder; ``<split>/<dive number>-<index>.mp4`` below it, and ``manifest.jsonl``.
        settings: what to render.
        workers: processes; None: one a core.

    Returns:
        Path of the manifest.

    Raises:
        UserError: the folder holds a data set of other settings, or a dive cannot be rendered.
    """
    out, settings = Path(out), settings or RenderSettings()
    jobs = dive_jobs(out, settings)
    records = [_record(job) for job in jobs]  # refuses dives that cannot be, before anything is written
    # Folders of before say nothing of a world, and hold the standard one.
    claim(out, {name: value for name, value in asdict(settings).items() if (name, value) != ("world", "standard")})
    render_all(_render, [job for job in jobs if not job.path.exists()], workers)
    write_manifest(out / MANIFEST, records)
    return out / MANIFEST


def dive_jobs(out: Path, settings: RenderSettings) -> list[DiveJob]:
    """All dives of a data set in a folder, number by number."""
    return [job for number in settings.dive_numbers for job in _jobs(out, number, settings)]


def _jobs(out: Path, number: str, settings: RenderSettings) -> list[DiveJob]:
    number = DiveNumber.parse(number).text
    jobs = []
    for index in range(settings.dives_per_number):
        split = _split(index, settings.dives_per_number)
        path = out / split / f"{number}-{index:04d}.mp4"
        seed = FIRST_SEED[settings.world] + settings.seed * _SEED_STRIDE + index
        jobs.append(DiveJob(number, seed, split, path, settings.width, settings.height, settings.world))
    return jobs


def _split(index: int, count: int) -> Split:
    """Split of a dive by its place: first training, then validation, then test; each seed is unrelated to the next."""
    done = 0.0
    for split, share in _SHARES:
        done += share
        if index < round(done * count):
            return split
    return _SHARES[-1][0]


def _render(job: DiveJob) -> None:
    dive = render_plan(plan_dive(job.number, job.seed, world=job.world), width=job.width, height=job.height)
    write_video(job.path, dive.frames, dive.plan.fps)


def _record(job: DiveJob) -> DiveRecord:
    plan = plan_dive(job.number, job.seed, world=job.world)
    return DiveRecord(
        path=job.path,
        dive_number=plan.dive_number,
        score=plan.score,
        difficulty=plan.difficulty,
        split=job.split,
        num_frames=plan.num_frames,
        transition_frames=plan.transition_frames,
        # What a fault costs is known of fair judges only.
        stage_points=None if JUDGES[job.world] else plan.stage_points,
        faults=None if JUDGES[job.world] else plan.faults.severities,
        origin="rendered",
    )
