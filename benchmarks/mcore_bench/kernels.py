"""What a GPU does during a call: how long its kernels run, and how long it waits between them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mcore.common.optional import require
from mcore_bench.timing import Call, Group
from mcore_runtime.backends.base import COMPUTE

_ROUNDS = 10
_APART_S = 0.003
"""Pause between two calls, by which the trace is told apart."""
_SHOWN = 8
_BOUND = 0.25
"""Share of a run that copies, or waiting for the next kernel, may take unmentioned."""


@dataclass(frozen=True)
class Kernel:
    """Something that the GPU did; a copy is one too."""

    name: str
    start_us: float
    end_us: float


@dataclass(frozen=True)
class KernelGroup:
    """Kernels of one name together."""

    name: str
    launches: int
    """In one call."""
    ms: float


@dataclass(frozen=True)
class KernelReport:
    """One call on the GPU: of several, the one whose span is the median."""

    contender: str
    kernels: int
    """Kernels and copies in one call."""
    span_ms: float
    """From the start of the first to the end of the last."""
    busy_ms: float
    """Of it, while at least one was running."""
    largest_gap_us: float
    """Longest wait between two."""
    groups: tuple[KernelGroup, ...]
    """The longest first; the last one is the rest."""

    @property
    def waiting(self) -> float:
        """Share of the span in which the GPU had nothing to do."""
        return 1 - self.busy_ms / self.span_ms if self.span_ms else 0.0


def account_kernels(contender: str, call: Call) -> KernelReport | None:
    """Trace a call that ends when the GPU is done; None: the trace holds no kernels.

    Args:
        contender: its name.
        call: made several times.
    """
    torch = require("torch", "bench", "Tracing kernels")
    profiler = torch.profiler
    call()
    # Sees the kernels of all libraries in this process, not only torch's.
    with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as trace:
        for _ in range(_ROUNDS):
            time.sleep(_APART_S)
            call()
            torch.cuda.synchronize()
    kernels = [
        Kernel(event.name, event.time_range.start, event.time_range.end)
        for event in trace.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    ]
    return summarise_kernels(contender, kernels) if kernels else None


def summarise_kernels(contender: str, kernels: Sequence[Kernel]) -> KernelReport:
    """Summarise the trace of several calls with a pause before each.

    Args:
        contender: its name.
        kernels: at least one, in any order.
    """
    calls = sorted((_measure(call) for call in split_calls(kernels)), key=lambda report: report.span_ms)
    middle = calls[len(calls) // 2]
    return KernelReport(contender, middle.kernels, middle.span_ms, middle.busy_ms, middle.largest_gap_us, middle.groups)


def split_calls(kernels: Sequence[Kernel]) -> list[list[Kernel]]:
    """Split a trace where the GPU had nothing to do for most of the pause between calls."""
    calls: list[list[Kernel]] = []
    end_us = 0.0
    for kernel in sorted(kernels, key=lambda kernel: kernel.start_us):
        if not calls or kernel.start_us - end_us > _APART_S * 1e6 * 0.8:
            calls.append([])
        calls[-1].append(kernel)
        end_us = max(end_us, kernel.end_us)
    return calls


def bounds_of(steps: Sequence[Group], reports: Sequence[KernelReport]) -> tuple[str, ...]:
    """Say which runs are bound by copies between processor and GPU, and which by the launches of kernels.

    Args:
        steps: of runs, a row for each.
        reports: of calls.
    """
    found = []
    for group in steps:
        ms = {row.name: row.timing.median_ms for row in group.rows}
        copies = 1 - ms[COMPUTE] / sum(ms.values())
        if copies > _BOUND:
            found.append(f"{group.title}: transfers take {copies:.0%} of a run")
    found += [
        f"{report.contender}: the GPU waits {report.waiting:.0%} of the time, launches bound it"
        for report in reports
        if report.waiting > _BOUND
    ]
    return tuple(found)


def _measure(kernels: Sequence[Kernel]) -> KernelReport:
    start_us, end_us, busy_us, gap_us = kernels[0].start_us, kernels[0].start_us, 0.0, 0.0
    sums: dict[str, tuple[int, float]] = {}
    for kernel in kernels:  # by their starts; those that overlap count once
        gap_us = max(gap_us, kernel.start_us - end_us)
        busy_us += max(0.0, kernel.end_us - max(end_us, kernel.start_us))
        end_us = max(end_us, kernel.end_us)
        launches, us = sums.get(name := short_name(kernel.name), (0, 0.0))
        sums[name] = launches + 1, us + kernel.end_us - kernel.start_us
    groups = sorted((KernelGroup(name, n, us / 1e3) for name, (n, us) in sums.items()), key=lambda group: -group.ms)
    if rest := groups[_SHOWN:]:
        everything_else = KernelGroup("all others", sum(g.launches for g in rest), sum(g.ms for g in rest))
        groups = [*groups[:_SHOWN], everything_else]
    return KernelReport("", len(kernels), (end_us - start_us) / 1e3, busy_us / 1e3, gap_us, tuple(groups))


def short_name(name: str) -> str:
    """A kernel's name without namespaces, template arguments and parameters."""
    bare = re.sub(r"\(anonymous namespace\)::", "", name)
    while (shorter := re.sub(r"<[^<>]*>", "", bare)) != bare:
        bare = shorter
    bare = re.sub(r"\(.*$", "", bare).removeprefix("void ").strip()
    return bare.rsplit("::", 1)[-1][:60] or name[:60]
