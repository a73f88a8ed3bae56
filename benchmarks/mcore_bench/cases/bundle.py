"""One bundle through all benchmarks that were asked for: ``mcore-bench BUNDLE``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
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
from mcore_bench.candidates import GPU_BACKENDS, Candidate, open_candidates
from mcore_bench.cases.parts import Dive, measure_parts, measure_video, rendered_dive
from mcore_bench.cases.precision import precision_table
from mcore_bench.cases.throughput import throughput_table
from mcore_bench.cases.time_to_score import measure_time_to_score
from mcore_bench.machine import Watch, cores
from mcore_bench.report import finish_result
from mcore_bench.result import JsonFile, MeasuredBundle, Table, begin_result
from mcore_bench.timing import Call, TimingGroup, TimingSettings, compare
from mcore_export.log import Log
from mcore_runtime.backends.select import BACKENDS
from mcore_runtime.bundle.folder import Bundle

if TYPE_CHECKING:
    from mcore.network.model import MCoRe

_MIN_DIVES = 4
DIVE_SIZE, CAMERA_SIZE = (640, 360), (1920, 1080)
"""Width and height of the rendered videos, pixels: of the dive that is scored, and as cameras send them."""


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
    """Duration of the measurement of parts and peers; a published procedure is in every fourth round."""
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
        if self.threads < 1:
            raise UserError(f"{self.threads} threads; at least 1")
        if 0 < self.dives < _MIN_DIVES:
            raise UserError(f"{self.dives} dives; allowed: {_MIN_DIVES} or more, or 0 to leave the time to score out")


@dataclass
class Findings:
    """Measurements made so far."""

    groups: list[TimingGroup] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def bench(arguments: BenchArguments) -> int:
    """Measure bundles; return 1 where a ratio is a regression."""
    baseline = None if arguments.check_baseline is None else read_baseline(arguments.check_baseline)
    if arguments.save_baseline is not None:
        check_folder(arguments.save_baseline.parent, "the folder of", "choose another place for the baseline")
    if arguments.checkpoint is not None:
        require_all("torch", "fvcore.nn", extra="bench", purpose="Counting operations and measuring peers")
    bundles, progress = open_bundles(arguments.bundles), Console(stderr=True)
    if arguments.keep_freed_memory and not turn_malloc_trimming_off():
        raise UserError("the C library here cannot be told to keep freed memory (glibc can); leave out the flag")
    measured = tuple(MeasuredBundle(b.path.resolve().name, b.sha256, b.manifest.checkpoint.name) for b in bundles)
    title = f"{', '.join(bundle.name for bundle in measured)} on {{processor}}, threads: {arguments.threads}"
    result = begin_result(title, threads=arguments.threads, malloc_trimming=not arguments.keep_freed_memory)
    with Watch() as watch:
        found = measure_bundle(bundles[0], arguments, lambda text: progress.print(text, style="dim"))
        if len(bundles) > 1:
            found.groups.append(measure_side_by_side(bundles, arguments))
    result = replace(
        result, bundles=measured, groups=tuple(found.groups), tables=tuple(found.tables), absent=tuple(found.absent),
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


def open_bundles(paths: Sequence[Path]) -> list[Bundle]:
    """Open bundles that can be measured side by side; a UserError says where one cannot be opened, or inputs differ."""
    bundles = [Bundle.open(path) for path in paths]
    if len({bundle.model.clip for bundle in bundles}) > 1:
        raise UserError("these bundles take clips of different sizes, so there is nothing to compare side by side")
    return bundles


def measure_bundle(bundle: Bundle, plan: BenchArguments, log: Log) -> Findings:
    """Measure one bundle; ``log`` gets a line when something begins.

    Raises:
        UserError: the bundle has no exemplars, nothing runs it here, or the checkpoint is not its own.
    """
    config, number = bundle.model.clip, str(bundle.load_exemplars().dive_numbers[0])
    model = None if plan.checkpoint is None else _load(plan.checkpoint, bundle)
    found = Findings()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcore-bench-")))
        backends = GPU_BACKENDS if plan.gpu_only else BACKENDS
        candidates = stack.enter_context(open_candidates(bundle, plan.threads, backends=backends))
        found.absent += candidates.absent
        log(f"parts: {', '.join(each.name for each in candidates.opened)}")
        dive = rendered_dive(folder / "dive.mp4", number, config, DIVE_SIZE)
        found.groups.append(measure_video(dive, config, plan.settings))
        found.groups += measure_parts(dive, candidates.opened, plan.settings)
        if model is not None:
            _measure_network(model, candidates.opened, dive, plan, folder, found, log)
        log("precision")
        found.tables.append(precision_table(bundle, candidates.opened))
        if plan.dives:
            log("time to score")
            camera = rendered_dive(folder / "camera.mp4", number, config, CAMERA_SIZE)
            found.groups.append(measure_video(camera, config, plan.settings))
            found.groups.append(measure_time_to_score(candidates.opened, plan.dives))
        if not plan.no_throughput:
            log("throughput")
            found.tables.append(throughput_table(candidates.opened, plan.settings.seconds))
    found.groups.reverse()  # whole dives and peers first
    return found


def _measure_network(
    model: MCoRe,
    candidates: Sequence[Candidate],
    dive: Dive,
    plan: BenchArguments,
    folder: Path,
    found: Findings,
    log: Log,
) -> None:
    """Measure what needs the checkpoint: cost, peers and limits, on the processor and where there is one on the GPU."""
    import torch

    from mcore_bench.cases.limits import limit_tables, measure_limits
    from mcore_bench.cases.peers import measure_peers
    from mcore_bench.cost import cost_table, count_model

    cost, shift = count_model(model), model.config.backbone.shift
    found.tables.append(cost_table(cost))
    for device in ([] if plan.gpu_only else ["cpu"]) + (["cuda"] if torch.cuda.is_available() else []):
        here = [each for each in candidates if each.on_gpu is (device == "cuda")]
        if shift != "gated":
            found.absent.append(f"peers: the published procedure has a gated shift, this network {shift}")
        else:
            log(f"peers on the {device}")
            groups, absent = measure_peers(
                model, here, dive.clip, plan.threads, plan.settings, folder, compiled=not plan.no_compile, device=device
            )
            found.groups += groups
            found.absent += absent
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


def measure_side_by_side(bundles: Sequence[Bundle], plan: BenchArguments) -> TimingGroup:
    """Time the backbones of several bundles with inputs of one size in turns."""
    c = bundles[0].model.clip
    clip = np.random.default_rng(0).standard_normal((1, 3, c.num_frames, c.crop_size, c.crop_size), np.float32)
    backends = GPU_BACKENDS if plan.gpu_only else BACKENDS
    with ExitStack() as stack:
        calls: dict[str, Call] = {}
        for bundle in bundles:
            for each in stack.enter_context(open_candidates(bundle, plan.threads, backends=backends)).opened:
                calls[f"{bundle.path.resolve().name}: {each.name}"] = partial(each.scorer.backend.backbone, clip)
        return compare("backbones of all bundles", calls, plan.settings)
