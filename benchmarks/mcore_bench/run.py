"""One bundle through all benchmarks that were asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError, first_line
from mcore.config import ClipConfig
from mcore_bench.accuracy import measure_accuracy
from mcore_bench.conditions import Watch
from mcore_bench.contenders import COPIES, Contender, Contenders, contender_name, open_contenders
from mcore_bench.delay import STREAM_SIZE, measure_delays
from mcore_bench.gpu_limit import has_gpu, measure_gpu_limits
from mcore_bench.kernels import KernelReport, bounds_of
from mcore_bench.limit import LayerReport, Limits, PartLimit, group_layers, measure_copy, measure_peaks, part_limit
from mcore_bench.memory import peak_memory
from mcore_bench.parts import PARTS, Dive, exemplars_of, measure_parts, measure_video, read_dive, rendered_dive
from mcore_bench.result import TRANSFERS_MEASURED, Measured
from mcore_bench.throughput import STREAMS, Streams, measure_batches, measure_streams
from mcore_bench.timing import Call, Effort, Group, Row, compare
from mcore_runtime.backends import Backend, StepwiseBackend
from mcore_runtime.backends.base import COMPUTE
from mcore_runtime.backends.select import BACKENDS, BackendName
from mcore_runtime.backends.streaming import STREAMING_BACKENDS
from mcore_runtime.bundle.folder import Bundle

if TYPE_CHECKING:
    from mcore.network.model import MCoRe
    from mcore_bench.account import Account
    from mcore_bench.peers import PeerGroups

_NO_TRANSFERS = "none: the graphs run where the clip is"
GPU_BACKENDS: tuple[BackendName, ...] = ("onnxruntime-cuda", "tensorrt", "tensorrt-rtx")


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    threads: int
    effort: Effort
    peer_effort: Effort
    video: Path | None
    size: tuple[int, int]
    checkpoint: Path | None
    throughput: bool
    memory: bool
    limits: bool
    compiled: bool
    dives: int
    """Dives for the time to score; 0: it is not measured."""
    gpu_only: bool = False
    """Leave out what runs on the processor."""

    @property
    def backends(self) -> tuple[BackendName, ...]:
        """Those to try."""
        return GPU_BACKENDS if self.gpu_only else BACKENDS


def measure_bundle(path: Path, plan: Plan, say: Callable[[str], None]) -> Measured:
    """Measure one bundle.

    Args:
        path: its folder.
        plan: what to measure.
        say: told what begins.

    Raises:
        UserError: the bundle has no exemplars, nothing runs it here, or the checkpoint is not its own.
    """
    bundle = Bundle.open(path)
    config = bundle.model.clip
    bank = bundle.load_exemplars()
    number = str(bank.dive_numbers[0])
    model = None if plan.checkpoint is None else _load(plan.checkpoint, bundle)
    groups: list[Group] = []
    memory: dict[str, float] = {}
    streams: tuple[Streams, ...] = ()
    limits: Limits | None = None
    account: Account | None = None
    gpu_limits: Limits | None = None
    kernels: tuple[KernelReport, ...] = ()
    bounds: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="mcore-bench-") as name, Watch() as watch:
        folder = Path(name)
        width, height = plan.size
        dive = (
            rendered_dive(folder, number, config, width=width, height=height)
            if plan.video is None
            else read_dive(plan.video, number, config)
        )
        camera = _camera(folder, number, config) if plan.dives else None
        if model is not None:
            from mcore_bench.flops import count_model

            account = count_model(model)
        with open_contenders(bundle, plan.threads, backends=plan.backends) as contenders:
            absent = list(contenders.absent)
            on_gpu = {each.name: each for each in contenders.opened if _on_gpu(each)}
            say(f"parts: {', '.join(each.name for each in contenders.opened)}")
            groups.append(measure_video(dive, config, plan.effort))
            if camera is not None:
                groups.append(measure_video(camera, config, plan.effort))
            groups += measure_parts(dive, contenders, plan.effort)
            if model is not None and model.config.backbone.shift != "gated":
                absent.append(
                    f"peers: the published procedure has a gated shift, this network {model.config.backbone.shift}"
                )
            elif model is not None:
                if not plan.gpu_only:
                    say("peers")
                    groups += _peers(model, contenders, dive, plan, folder, absent)
                if has_gpu():
                    say("peers on the GPU")
                    found, kernels = _gpu_peers(model, on_gpu, dive, plan, folder)
                    groups += found.groups
                    absent += found.absent
            steps = {(part, name): _steps(each, part, dive, plan) for name, each in on_gpu.items() for part in PARTS}
            groups += steps.values()
            bounds = bounds_of(tuple(steps.values()), kernels)
            if plan.limits and account is not None and has_gpu():
                say("limits of the GPU")
                rows = {key: group.row(COMPUTE) for key, group in steps.items()}  # without the copies
                gpu_limits = _with_parts(
                    measure_gpu_limits(), on_gpu.values(), rows, dive, account, bundle.model.backbone.feature_dim
                )
            if plan.limits and account is not None and not plan.gpu_only:
                say("limits")
                limits = _limits(bundle, contenders, dive, account, groups, plan.threads)
            say("accuracy")
            accuracy = measure_accuracy(bundle, _backends(contenders))
            transfers = {each.name: _transfers(each) for each in contenders.opened}
            here = [(each.backend, each.scorer.precision) for each in contenders.opened]
        if camera is not None:
            say("time to score")
            groups.append(measure_delays(bundle, here, plan.threads, plan.dives, camera.video))
        if plan.throughput:
            say("batches and streams")
            groups += _batches(bundle, [name for name, precision in here if precision == "fp32"], plan, absent)
            for backend, precision in here:
                streams += measure_streams(bundle, backend, precision, STREAMS, plan.effort.seconds)
        if plan.memory:
            say("memory")
            for backend, precision in here:
                if (peak := peak_memory(path, backend, precision, plan.threads)) is not None:
                    contender = contender_name(backend, precision)
                    memory[contender] = peak.resident
                    if backend in GPU_BACKENDS and peak.gpu is not None:
                        memory[f"{contender} on the GPU"] = peak.gpu
    return Measured(
        bundle=path.name,
        bundle_sha256=bundle.sha256,
        checkpoint=bundle.manifest.checkpoint.name,
        groups=tuple(groups),
        peak_memory_mb=memory,
        streams=streams,
        accuracy=accuracy,
        transfers=transfers,
        absent=tuple(absent),
        account=account,
        limits=limits,
        conditions=replace(watch.conditions, warnings=(*watch.conditions.warnings, *bounds)),
        gpu_limits=gpu_limits,
        kernels=kernels,
    )


def _camera(folder: Path, dive_number: str, config: ClipConfig) -> Dive:
    """A dive of the size that cameras send."""
    place = folder / "camera"
    place.mkdir()
    width, height = STREAM_SIZE
    return rendered_dive(place, dive_number, config, width=width, height=height)


def _batches(bundle: Bundle, backends: Sequence[str], plan: Plan, absent: list[str]) -> Iterator[Group]:
    for backend in backends:
        if backend not in STREAMING_BACKENDS:
            absent.append(f"batches on {backend}: its engines were built for single clips")
            continue
        try:
            yield measure_batches(bundle.batched_graphs("fp32"), backend, plan.threads, plan.effort)
        except UserError as error:  # once: exported without them
            absent.append(f"batches: {first_line(error)}")
            return


def _load(checkpoint: Path, bundle: Bundle) -> MCoRe:
    from mcore.network.checkpoint import load_checkpoint
    from mcore_runtime.bundle.records import hash_file

    if hash_file(checkpoint).sha256 != bundle.manifest.checkpoint.sha256:
        raise UserError(
            f"{checkpoint} is not the checkpoint that {bundle.path} was exported from "
            f"({bundle.manifest.checkpoint.name}): peers would do other work. Give that one with --checkpoint"
        )
    return load_checkpoint(checkpoint)


def _peers(
    model: MCoRe,
    contenders: Contenders,
    dive: Dive,
    plan: Plan,
    folder: Path,
    absent: list[str],
) -> tuple[Group, ...]:
    from mcore_bench.peers import measure_peers

    found = measure_peers(
        model, _backends(contenders), dive.clip, plan.threads, plan.peer_effort, folder, compiled=plan.compiled
    )
    absent += found.absent
    return found.groups


def _backends(contenders: Contenders) -> dict[str, Backend]:
    return {each.name: each.scorer.backend for each in contenders.opened}


def check_same_clips(paths: Sequence[Path]) -> None:
    """Look whether bundles can be measured side by side; cheap, so do it before measuring.

    Raises:
        UserError: one cannot be opened, or their inputs differ.
    """
    if len({Bundle.open(path).model.clip for path in paths}) > 1:
        raise UserError("these bundles take clips of different sizes, so there is nothing to compare side by side")


def measure_side_by_side(paths: Sequence[Path], plan: Plan) -> Group:
    """Time the backbones of several bundles in turns.

    Args:
        paths: of bundles for which ``check_same_clips`` is content.
        plan: how to measure.
    """
    bundles = [Bundle.open(path) for path in paths]
    c = bundles[0].model.clip
    clip = np.random.default_rng(0).standard_normal((1, 3, c.num_frames, c.crop_size, c.crop_size), np.float32)
    with ExitStack() as stack:
        calls: dict[str, Call] = {}
        for bundle in bundles:
            contenders = stack.enter_context(open_contenders(bundle, plan.threads, backends=plan.backends))
            for each in contenders.opened:
                calls[f"{bundle.path.name}: {each.name}"] = partial(each.scorer.backend.backbone, clip)
        return compare("backbones of all bundles", calls, plan.effort)


def _limits(
    bundle: Bundle, contenders: Contenders, dive: Dive, account: Account, groups: list[Group], threads: int
) -> Limits:
    from mcore_bench.layers import profile_layers

    peaks, copy_gb_s = measure_peaks(threads), measure_copy(threads)
    limits = Limits(threads, peaks, copy_gb_s, (), ())
    by_title = {group.title: group for group in groups}
    on_cpu = [each for each in contenders.opened if not _on_gpu(each)]
    rows = {(part, each.name): by_title[part].row(each.name) for part in PARTS for each in on_cpu}
    limits = _with_parts(limits, on_cpu, rows, dive, account, bundle.model.backbone.feature_dim)
    reports: list[LayerReport] = []
    for each in on_cpu:
        arithmetic = _arithmetic(each, "backbone")
        if limits.peak("fp32") is not None and limits.peak(arithmetic) is not None:  # what is not quantised is fp32
            graph = bundle.graphs(each.scorer.precision).path("backbone")
            layers = profile_layers(each.scorer.backend.name, graph, dive.clip[None], threads)
            timed_ms = rows["backbone", each.name].timing.median_ms
            reports.append(group_layers(each.name, layers, limits, arithmetic, timed_ms))
    return replace(limits, layers=tuple(reports))


def _with_parts(
    limits: Limits, contenders: Iterable[Contender], rows: Mapping[tuple[str, str], Row], dive: Dive, account: Account,
    feature_dim: int,
) -> Limits:  # fmt: skip
    """Hold what was measured of each part, by its name and the contender's, to a device's limits."""
    values = {"backbone": dive.clip.size, "segmenter": dive.clip.shape[1] * feature_dim}
    costs = {"backbone": account.backbone, "segmenter": account.segmenter, "regressor": account.comparison}
    parts: list[PartLimit] = []
    for part in PARTS:
        for each in contenders:
            arithmetic = _arithmetic(each, part)
            if (peak := limits.peak(arithmetic)) is not None:
                times = len(exemplars_of(each.scorer, dive).tokens) if part == "regressor" else 1
                measured_ms = rows[part, each.name].timing.least_ms  # the peaks are of the best run too
                found = part_limit(
                    costs[part], times, each.name, arithmetic, measured_ms, peak, limits.copy_gb_s, values.get(part, 0)
                )
                parts.append(replace(found, part=part))
    return replace(limits, parts=tuple(parts))


def _steps(contender: Contender, part: str, dive: Dive, plan: Plan) -> Group:
    """The copies and the computing of one part, in turns: every run is whole."""
    backend = contender.scorer.backend
    assert isinstance(backend, StepwiseBackend)
    clip = dive.clip[None]
    arrays: tuple[NDArray[np.float32], ...] = (clip,)
    if part != "backbone":
        arrays = (backend.backbone(clip),)
    if part == "regressor":
        arrays = (backend.segmenter(arrays[0])[2], exemplars_of(contender.scorer, dive).tokens)
    return compare(f"{COPIES}: {part}, {contender.name}", backend.steps(part, *arrays), plan.effort)


def _gpu_peers(
    model: MCoRe, on_gpu: Mapping[str, Contender], dive: Dive, plan: Plan, folder: Path
) -> tuple[PeerGroups, tuple[KernelReport, ...]]:
    from mcore_bench.gpu_peers import measure_gpu_peers

    backends = {name: each.scorer.backend for name, each in on_gpu.items()}
    return measure_gpu_peers(model, backends, dive.clip, plan.peer_effort, folder, compiled=plan.compiled)


def _arithmetic(contender: Contender, part: str) -> str:
    """The arithmetic that a part is really computed in; one that is mostly int8 counts as int8."""
    kind = contender.scorer.backend.precision[part]
    return next((name for name in ("int8", "bf16", "fp32", "fp16") if kind.startswith(name)), "fp32")


def _transfers(contender: Contender) -> str:
    return TRANSFERS_MEASURED if _on_gpu(contender) else _NO_TRANSFERS


def _on_gpu(contender: Contender) -> bool:
    return contender.scorer.backend.name in GPU_BACKENDS
