"""One bundle through all benchmarks that were asked for: ``mcore-bench BUNDLE``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from rich.console import Console

from mcore.common.errors import UserError
from mcore.common.optional import require_all
from mcore.data.cache_folder import check_folder
from mcore.devices.cpu import turn_malloc_trimming_off
from mcore_bench.baseline import check_baseline, read_baseline, save_baseline
from mcore_bench.candidates import GPU_BACKENDS, Candidates, open_candidates
from mcore_bench.cases.parts import Dive, measure_parts, measure_video, read_dive, rendered_dive
from mcore_bench.cases.precision import precision_table
from mcore_bench.cases.throughput import throughput_table
from mcore_bench.cases.time_to_score import measure_time_to_score
from mcore_bench.machine import Watch, cores
from mcore_bench.output import JsonFile, begin_result, finish_result
from mcore_bench.result import MeasuredBundle, Table
from mcore_bench.timing import Call, TimingGroup, TimingSettings, compare
from mcore_runtime.backends.select import BACKENDS, BackendName
from mcore_runtime.bundle.folder import Bundle

if TYPE_CHECKING:
    from mcore.network.model import MCoRe


_MIN_DIVES = 4
_CAMERA_SIZE = (1920, 1080)
"""Size of a video as cameras send it, pixels."""


@dataclass(frozen=True)
class BenchArguments(JsonFile):
    """Measure bundles on this machine."""

    bundles: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Folders made by mcore-export, with exemplars. Of all but the first only backbones are measured."""
    checkpoint: Path | None = None
    """The checkpoint of the first bundle: counts operations, and measures its peers and limits."""
    threads: int = field(default_factory=cores)
    """CPU threads of every backend alike; default: one for each core."""
    settings: tyro.conf.OmitArgPrefixes[TimingSettings] = field(default_factory=TimingSettings)
    """Duration of the measurement of parts."""
    peer_runs: int = 50
    """Rounds of the peers; every fourth has a whole published procedure in it."""
    video: Path | None = None
    """Video of a dive; default: a rendered one."""
    width: int = 640
    """Width of the rendered video, pixels."""
    height: int = 360
    """Height of the rendered video, pixels."""
    keep_freed_memory: bool = False
    """Let the C library keep freed memory for the next tensor, as training does: PyTorch on a CPU, and with it the
    published procedure, is then about twice as fast, and exported graphs are as fast as before (glibc)."""
    no_compile: bool = False
    """Leave out torch.compile, which takes minutes to start."""
    no_throughput: bool = False
    """Leave out several processes at once, and their memory."""
    no_limits: bool = False
    """Leave out what the machine could do at best."""
    dives: int = 100
    """Rendered dives for the time to score; 0: leave it out."""
    gpu_only: bool = False
    """Leave out what runs on the processor: backends, peers and limits."""
    save_baseline: Path | None = None
    """Write the ratios of this run, to check later ones against."""
    check_baseline: Path | None = None
    """Ratios to check, such as benchmarks/baseline.json: exit code 1 where one is a regression."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.bundles:
            raise UserError("nothing to measure: give a bundle, or a command such as report; --help lists them")
        names = [path.resolve().name for path in self.bundles]
        if len(set(names)) < len(names):
            raise UserError(f"several bundles are called {max(names, key=names.count)}: rename a folder")
        if self.peer_runs < 4 or self.threads < 1:
            raise UserError(f"{self.peer_runs} rounds of peers, {self.threads} threads; at least 4 and 1")
        if 0 < self.dives < _MIN_DIVES:
            raise UserError(f"{self.dives} dives; allowed: {_MIN_DIVES} or more, or 0 to leave the time to score out")

    @property
    def backends(self) -> tuple[BackendName, ...]:
        """Those to try."""
        return GPU_BACKENDS if self.gpu_only else BACKENDS


@dataclass
class Findings:
    """Measurements made so far."""

    groups: list[TimingGroup]
    tables: list[Table]
    absent: list[str]


def bench(arguments: BenchArguments) -> int:
    """Measure bundles; return 1 where a ratio is a regression."""
    baseline = None if arguments.check_baseline is None else read_baseline(arguments.check_baseline)
    if arguments.save_baseline is not None:
        check_folder(arguments.save_baseline.parent, "the folder of", "choose another place for the baseline")
    if arguments.checkpoint is not None:
        require_all("torch", "fvcore.nn", extra="bench", purpose="Counting operations and measuring peers")
    bundles, progress = describe_bundles(arguments.bundles), Console(stderr=True)
    if arguments.keep_freed_memory and not turn_malloc_trimming_off():
        raise UserError("the C library here cannot be told to keep freed memory (glibc can); leave out the flag")
    title = f"{', '.join(bundle.name for bundle in bundles)} on {{processor}}, threads: {arguments.threads}"
    result = begin_result(title, threads=arguments.threads, malloc_trimming=not arguments.keep_freed_memory)
    with Watch() as watch:
        found = measure_bundle(arguments.bundles[0], arguments, lambda text: progress.print(text, style="dim"))
        if len(bundles) > 1:
            found.groups.append(measure_side_by_side(arguments))
    result = replace(
        result, bundles=bundles, groups=tuple(found.groups), tables=tuple(found.tables), absent=tuple(found.absent),
        conditions=watch.conditions,
    )  # fmt: skip
    finish_result(result, arguments.json)
    if arguments.save_baseline is not None:
        save_baseline(arguments.save_baseline, result)
    if baseline is None:
        return 0
    comparison = check_baseline(baseline, result)
    for line in comparison.notes:
        print(f"note: {line}")
    for line in comparison.regressions:
        print(f"regression: {line}")
    return 1 if comparison.regressions else 0


def measure_bundle(path: Path, plan: BenchArguments, log: Callable[[str], None]) -> Findings:
    """Measure one bundle.

    Args:
        path: its folder.
        plan: what to measure.
        log: gets a line when something begins.

    Raises:
        UserError: the bundle has no exemplars, nothing runs it here, or the checkpoint is not its own.
    """
    bundle = Bundle.open(path)
    config, number = bundle.model.clip, str(bundle.load_exemplars().dive_numbers[0])
    model = None if plan.checkpoint is None else _load(plan.checkpoint, bundle)
    found = Findings([], [], [])
    with tempfile.TemporaryDirectory(prefix="mcore-bench-") as name:
        folder = Path(name)
        if plan.video is not None:
            dive = read_dive(plan.video, number, config)
        else:
            dive = rendered_dive(folder / "dive.mp4", number, config, width=plan.width, height=plan.height)
        with open_candidates(bundle, plan.threads, backends=plan.backends) as candidates:
            found.absent += candidates.absent
            log(f"parts: {', '.join(each.name for each in candidates.opened)}")
            found.groups.append(measure_video(dive, config, plan.settings))
            found.groups += measure_parts(dive, candidates, plan.settings)
            if model is not None:
                _measure_network(model, candidates, dive, plan, folder, found, log)
            log("precision")
            found.tables.append(precision_table(bundle, candidates.opened))
            here = [(each.asked, each.scorer.precision) for each in candidates.opened]
        if plan.dives:
            log("time to score")
            width, height = _CAMERA_SIZE
            camera = rendered_dive(folder / "camera.mp4", number, config, width=width, height=height)
            found.groups.append(measure_video(camera, config, plan.settings))
            found.groups.append(measure_time_to_score(bundle, here, plan.threads, plan.dives))
        if not plan.no_throughput:
            log("throughput")
            found.tables.append(throughput_table(bundle, here, plan.settings.seconds))
    found.groups.reverse()  # whole dives and peers first
    return found


def _measure_network(
    model: MCoRe,
    candidates: Candidates,
    dive: Dive,
    plan: BenchArguments,
    folder: Path,
    found: Findings,
    log: Callable[[str], None],
) -> None:
    """Measure what needs the checkpoint: cost, peers and limits, on the processor and where there is one on the GPU."""
    import torch

    from mcore_bench.cases.limits import limit_tables, measure_limits
    from mcore_bench.cases.peers import measure_peers
    from mcore_bench.cost import cost_table, count_model

    cost = count_model(model)
    found.tables.append(cost_table(cost))
    for device in ([] if plan.gpu_only else ["cpu"]) + (["cuda"] if torch.cuda.is_available() else []):
        here = [each for each in candidates.opened if each.on_gpu is (device == "cuda")]
        if model.config.backbone.shift != "gated":
            shift = model.config.backbone.shift
            found.absent.append(f"peers: the published procedure has a gated shift, this network {shift}")
        else:
            log(f"peers on the {device}")
            backends = {each.name: each.scorer.backend for each in here}
            settings = replace(plan.settings, runs=plan.peer_runs)
            peers = measure_peers(
                model, backends, dive.clip, plan.threads, settings, folder, compiled=not plan.no_compile, device=device
            )
            found.groups += peers.groups
            found.absent += peers.absent
        if not plan.no_limits:
            log(f"limits of the {device}")
            limits = measure_limits(device, plan.threads)
            found.tables += limit_tables(limits, here, found.groups, dive, cost)


def _load(checkpoint: Path, bundle: Bundle) -> MCoRe:
    from mcore.network.checkpoint import load_checkpoint
    from mcore_runtime.bundle.records import hash_file

    if hash_file(checkpoint).sha256 != bundle.manifest.checkpoint.sha256:
        raise UserError(
            f"{checkpoint} is not the checkpoint that {bundle.path} was exported from "
            f"({bundle.manifest.checkpoint.name}): peers would do other work. Give that one with --checkpoint"
        )
    return load_checkpoint(checkpoint)


def describe_bundles(paths: Sequence[Path]) -> tuple[MeasuredBundle, ...]:
    """Open bundles and look whether they can be measured side by side; cheap, so do it before measuring.

    Raises:
        UserError: one cannot be opened, or their inputs differ.
    """
    bundles = [Bundle.open(path) for path in paths]
    if len({bundle.model.clip for bundle in bundles}) > 1:
        raise UserError("these bundles take clips of different sizes, so there is nothing to compare side by side")
    return tuple(MeasuredBundle(b.path.resolve().name, b.sha256, b.manifest.checkpoint.name) for b in bundles)


def measure_side_by_side(plan: BenchArguments) -> TimingGroup:
    """Time the backbones of several bundles, which ``describe_bundles`` accepts, in turns."""
    bundles = [Bundle.open(path) for path in plan.bundles]
    c = bundles[0].model.clip
    clip = np.random.default_rng(0).standard_normal((1, 3, c.num_frames, c.crop_size, c.crop_size), np.float32)
    with ExitStack() as stack:
        calls: dict[str, Call] = {}
        for bundle in bundles:
            candidates = stack.enter_context(open_candidates(bundle, plan.threads, backends=plan.backends))
            for each in candidates.opened:
                calls[f"{bundle.path.resolve().name}: {each.name}"] = partial(each.scorer.backend.backbone, clip)
        return compare("backbones of all bundles", calls, plan.settings)
