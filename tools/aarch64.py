"""Scores on emulated aarch64 beside those of this x86-64 machine, with two versions of ONNX Runtime.

    python -m tools.aarch64                                             # a small bundle and three dives, made here
    python -m tools.aarch64 --bundle demo/bundle --dive 107B --videos demo/dives/test/107B-*.mp4
    python -m tools.aarch64 --save                                      # keeps the result, which CI compares

Exit code: 0 when all agree, 1 when not, 77 when this machine cannot emulate and nothing was checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import msgspec
from av.video.stream import VideoStream

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.typed_json import decode, encode
from mcore.data.rendered_dives import RenderSettings, render_dataset
from mcore.synthetic.render import render_dive
from tools.emulated import PROCESSOR, ROOT, EmulatedMachine, NotPossibleHereError, check_host, make_machine, run

MAX_DIFFERENCE_POINTS = 0.001
"""A hundredth of what a score sheet shows; float32 sums in another order differ by a thousandth of it."""
OLD_ONNXRUNTIME = "1.23"
"""The last for JetPack 6's Python 3.10."""
TESTS = ("tests/native/test_resize.py", "tests/native/test_fallback.py", "tests/video/test_conversion.py")
RESULT = Path(__file__).with_suffix(".json")
CHECKED = (
    "CMakeLists.txt",
    "mcore/video/**/*.py",
    "runtime/native/**/*.[ch]pp",
    "tools/aarch64.py",
    "tools/emulated.py",
)
"""Files whose change asks for another check, besides the dependencies in pyproject.toml."""
NATIVE, NUMPY, NEWEST = "native code", "NumPy", "newest"
SKIPPED = 77
"""Exit code of a check that could not be made, as Automake's tests have it."""
DIVE_NUMBER = "107B"
VIDEOS = {"320x180.mp4": "libx264", "640x360.avi": "mpeg4", "426x240.avi": "mjpeg"}
"""Size and codec of the three videos: those of recorders, old phones and USB cameras."""


@dataclass(frozen=True)
class Options:
    """Options of the check."""

    bundle: Path | None = None
    """Bundle to score with; default: a small one, trained here for a few steps."""
    dive: str = DIVE_NUMBER
    """Dive number of the videos."""
    videos: tuple[Path, ...] = ()
    """Videos to score with --bundle."""
    folder: Path = ROOT / "build" / "aarch64"
    """Folder of the emulated machine, kept for the next time; delete it to get newer packages."""
    save: bool = False
    """Store the result in tools/aarch64.json."""
    is_checked: bool = False
    """Only say whether that result is of today's native code, video reading and dependencies: exit code 0, or 1."""

    def __post_init__(self) -> None:
        if (self.bundle is None) != (not self.videos):
            raise UserError("--bundle and --videos go together; without both, a bundle and videos are made")


@dataclass(frozen=True)
class Comparison:
    """One video's score on both processors."""

    video: str
    onnxruntime: str
    """Version on aarch64."""
    frames: str
    """What converted and resized the frames on aarch64: native code, or NumPy."""
    x86_points: float
    aarch64_points: float

    @property
    def difference_points(self) -> float:
        """aarch64 less x86-64."""
        return self.aarch64_points - self.x86_points


@dataclass(frozen=True)
class Result:
    """A check that went well."""

    date: str
    files_sha256: str
    """Of the files and dependencies that were checked, see ``digest``."""
    cpu_seconds: int
    """Processor time of all programs, downloads and unpacking too where they were not there."""
    versions: dict[str, str]
    comparisons: tuple[Comparison, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; returns the exit code."""
    return run_command_line(Options, check, prog="python -m tools.aarch64", doc=__doc__, argv=argv)


def check(options: Options) -> int:
    """Make the machine, score on both processors, compare; returns the exit code."""
    began, checked = time.perf_counter(), digest(ROOT)
    if options.is_checked:
        return _is_checked(checked)
    folder = options.folder.resolve()
    try:
        check_host()
        # Half of the time is spent on the bundle, half on the machine: side by side.
        with ThreadPoolExecutor(2) as pool:
            machine_made = pool.submit(_timed, "machine", lambda: _machine(folder))
            x86_done = pool.submit(_timed, "x86-64", lambda: _score_on_x86(folder, options))
            machine, (bundle, videos, x86) = machine_made.result(), x86_done.result()
    except NotPossibleHereError as reason:
        print(f"aarch64: not checked: {reason}", file=sys.stderr)
        return SKIPPED
    comparisons, failures = _check_on_aarch64(machine, bundle, options.dive, videos, x86)
    for failure in failures:
        print(failure, file=sys.stderr)
    agree = describe(comparisons)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = used.ru_utime + used.ru_stime
    print(f"{time.perf_counter() - began:.0f} s, {cpu_seconds:.0f} s of processor time")
    if failures or not agree:
        return 1
    if options.save:
        _save(checked, cpu_seconds, machine, comparisons)
    return 0


def digest(root: Path) -> str:
    """Hash of what a check is valid for: names and content of the files, and the dependencies."""
    project = _project(root)
    total = hashlib.sha256(json.dumps([project["dependencies"], project["optional-dependencies"]["runtime"]]).encode())
    for path in sorted({path for pattern in CHECKED for path in root.glob(pattern)}):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def describe(comparisons: Iterable[Comparison]) -> bool:
    """Print the scores side by side; returns whether all agree."""
    agree = True
    for row in comparisons:
        close = abs(row.difference_points) <= MAX_DIFFERENCE_POINTS
        agree = agree and close
        print(
            f"{row.video}: {row.x86_points:.4f} on x86-64, {row.aarch64_points:.4f} on aarch64 (ONNX Runtime "
            f"{row.onnxruntime}, {row.frames}): {row.difference_points:+.1e} points {'ok' if close else 'TOO FAR'}"
        )
    return agree


def _save(checked: str, cpu_seconds: float, machine: EmulatedMachine, comparisons: Sequence[Comparison]) -> None:
    versions = {"qemu": machine.qemu_version(), "processor": PROCESSOR, "onnxruntime on x86-64": version("onnxruntime")}
    versions |= {name: machine.version(name) for name in ("av", "numpy", "pillow")}
    result = Result(date.today().isoformat(), checked, round(cpu_seconds), versions, tuple(comparisons))
    write_text(RESULT, encode(result, indent=2) + "\n")
    print(f"{RESULT}: {len(comparisons)} scores")


def _is_checked(today: str) -> int:
    before = decode(Result, RESULT.read_bytes(), str(RESULT)) if RESULT.exists() else None
    if before is not None and before.files_sha256 == today:
        print(f"aarch64: checked on {before.date}, and nothing changed since")
        return 0
    last = "none" if before is None else f"of {before.date}"
    print(f"aarch64: not checked with today's native code, video reading and dependencies (last result: {last})")
    print("check it with: python -m tools.aarch64 --save")
    return 1


def _project(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.toml.decode((root / "pyproject.toml").read_bytes())
    project: dict[str, Any] = content["project"]
    return project


def _machine(folder: Path) -> EmulatedMachine:
    project = _project(ROOT)
    tests = [each for each in project["optional-dependencies"]["test"] if each.startswith(("pytest>", "hypothesis>"))]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["runtime"], *tests, "nanobind"]
    return make_machine(folder, requirements, [OLD_ONNXRUNTIME])


def _score_on_x86(folder: Path, options: Options) -> tuple[Path, Sequence[Path], list[float]]:
    """The bundle, the videos, and their scores here."""
    bundle, videos = options.bundle, tuple(video.resolve() for video in options.videos)
    logs, python = folder / "logs", [sys.executable, "-m"]
    paths = [str(ROOT / part) for part in ("", "export", "runtime")]
    environment = {"PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
    if bundle is None:
        made = folder / "made"
        shutil.rmtree(made, ignore_errors=True)  # of the last time, perhaps with other settings
        settings = RenderSettings(dive_numbers=(DIVE_NUMBER,), dives_per_number=12)
        dives, training, bundle = render_dataset(made / "dives", settings), made / "run", made / "bundle"
        videos = tuple(_write_video(made / name, seed) for seed, name in enumerate(VIDEOS, start=100))
        learn = ["--data", dives, "--out", training, "--preset", "tiny", "--epochs", 4, "--overwrite"]
        run(logs / "train", [*python, "mcore.train", *learn], environment)
        leave_out = ["--no-streaming", "--no-exemplar-pictures"]
        export = [training / "best.pt", "--out", bundle, "--exemplars", dives, "--force", *leave_out]
        run(logs / "export", [*python, "mcore_export.cli", *export], environment)
    bundle, scores = bundle.resolve(), folder / "scores-x86.json"
    run(logs / "score-x86", [*python, *_score(bundle, options.dive, videos, scores)], environment)
    return bundle, videos, _read_scores(scores)


def _write_video(path: Path, seed: int) -> Path:
    width, height = map(int, path.stem.split("x"))
    dive = render_dive(DIVE_NUMBER, seed, width=width, height=height)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(VIDEOS[path.name], rate=dive.plan.fps)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.bit_rate = width, height, 2_000_000
        stream.pix_fmt = "yuvj420p" if stream.name == "mjpeg" else "yuv420p"
        for frame in dive.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def _check_on_aarch64(
    machine: EmulatedMachine, bundle: Path, dive: str, videos: Sequence[Path], x86: Sequence[float]
) -> tuple[list[Comparison], list[str]]:
    """Everything that runs on the emulated machine: comparisons, and what failed."""

    def verify(onnxruntime: str) -> list[Comparison]:
        command = ["mcore_export.bundle_command", "verify", bundle, "--backend", "onnxruntime"]
        machine.run(f"verify-{onnxruntime or NEWEST}", "-m", *command, onnxruntime=onnxruntime)
        return []

    def score(onnxruntime: str, native: bool) -> list[Comparison]:
        name = f"score-{onnxruntime or NEWEST}-{'native' if native else 'numpy'}"
        scores = machine.folder / f"{name}.json"
        machine.run(name, "-m", *_score(bundle, dive, videos, scores), onnxruntime=onnxruntime, native=native)
        used, frames = machine.version("onnxruntime", onnxruntime), NATIVE if native else NUMPY
        points = zip(videos, x86, _read_scores(scores), strict=True)
        return [Comparison(video.name, used, frames, *each) for video, *each in points]

    def test() -> list[Comparison]:
        machine.run("tests", "-m", "pytest", "-p", "no:cacheprovider", *TESTS)
        return []

    jobs: dict[str, Callable[[], list[Comparison]]] = {
        "tests of reading and resizing": test,  # the longest first
        "verify, newest ONNX Runtime": lambda: verify(""),
        f"verify, ONNX Runtime {OLD_ONNXRUNTIME}": lambda: verify(OLD_ONNXRUNTIME),
        "scores, newest ONNX Runtime": lambda: score("", native=True),
        "scores, newest ONNX Runtime, no native code": lambda: score("", native=False),
        f"scores, ONNX Runtime {OLD_ONNXRUNTIME}": lambda: score(OLD_ONNXRUNTIME, native=True),
    }
    comparisons, failures = [], []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        running = [pool.submit(_timed, name, job) for name, job in jobs.items()]
    for done in running:
        if isinstance(error := done.exception(), UserError):
            failures.append(f"failed: {error}")
        else:
            comparisons += done.result()
    return comparisons, failures


def _timed(name: str, job: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    done = job()
    print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    return done


def _score(bundle: Path, dive: str, videos: Iterable[Path], scores: Path) -> list[object]:
    """Arguments of ``python -m``; one thread, because two checks run side by side."""
    flags = ["--whole-clip", "--dive", dive, "--backend", "onnxruntime", "--threads", 1, "--json", scores]
    return ["mcore_runtime.score", bundle, *videos, *flags]


def _read_scores(path: Path) -> list[float]:
    """Points of the videos, in the order in which they were given."""
    return [dive["score"] for dive in json.loads(path.read_text())["dives"]]


if __name__ == "__main__":
    raise SystemExit(main())
