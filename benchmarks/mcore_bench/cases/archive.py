"""Dives an hour from files to scores: one process that reads and scores in turns, and processes that read ahead."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

from mcore.common.errors import UserError
from mcore.data.manifest import Split
from mcore_bench.machine import Watch, cores, own_cpu_s
from mcore_bench.report import finish_result
from mcore_bench.result import JsonFile, MeasuredBundle, begin_result, make_table
from mcore_bench.timing import ratio
from mcore_runtime.backends import BackendName
from mcore_runtime.scoring.batch import DiveOutcome, DiveRequest, requests_from_list, score_all
from mcore_runtime.scoring.parallel import WorkerSetup, score_in_parallel
from mcore_runtime.scoring.scorer import Scorer


@dataclass(frozen=True)
class ArchiveArguments(JsonFile):
    """Count dives an hour of one process and of several, in turns.

        mcore-bench archive demo/bundle --list demo/dives/manifest.jsonl --split test

    Processes are started before the clock is. Ratios are of the same round. Beside other programs more threads get more
    of the processor: there compare its seconds for a dive, which say how many dives a calm core scores at most.
    """

    bundle: tyro.conf.Positional[Path]
    """Folder made by mcore-export, with exemplars."""
    list_file: Annotated[Path, tyro.conf.arg(name="list")]
    """List of the dives, taken from the beginning again where it is short."""
    split: Split | None = None
    """Only this part of the list."""
    backend: BackendName = "auto"
    """Inference backend."""
    workers: int = field(default_factory=cores)
    """Most processes; default: one for each core."""
    dives: int = 40
    """Dives of each turn."""
    rounds: int = 6
    """Turns of each candidate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers < 1 or self.rounds < 1 or self.dives < 4 * self.workers:
            raise UserError(
                f"{self.workers} workers, {self.rounds} rounds, {self.dives} dives; at least 1, 1, 4 for each worker"
            )


def measure_archive(arguments: ArchiveArguments) -> int:
    """Run ``mcore-bench archive``."""
    listed = itertools.cycle(requests_from_list(arguments.list_file, arguments.split))
    requests = list(itertools.islice(listed, arguments.dives))
    setup = WorkerSetup(arguments.bundle, arguments.backend, any_exemplar=True)
    with ExitStack() as stack:
        calls: dict[str, Callable[[], _Pace]] = {}
        for threads in dict.fromkeys((1, arguments.workers)):
            scorer = stack.enter_context(replace(setup, threads=threads).open())
            calls[f"one process, threads of the engine: {threads}"] = partial(_in_turns, scorer, requests)
        for workers in dict.fromkeys((1, arguments.workers)):
            name = f"processes of one thread that read ahead: {workers}"
            calls[name] = partial(_ahead, setup, requests, workers)
        result = begin_result(f"Dives an hour on {{processor}}: {scorer.bundle.path.resolve().name}")
        bundle = MeasuredBundle(
            scorer.bundle.path.resolve().name, scorer.bundle.sha256, scorer.bundle.manifest.checkpoint.name
        )
        log = Console(stderr=True)
        with Watch() as watch:
            paces: dict[str, list[_Pace]] = {name: [] for name in calls}
            for number in range(arguments.rounds):
                for name in calls if number % 2 == 0 else reversed(calls):
                    paces[name].append(calls[name]())
                    log.print(f"round {number}: {name}: {3600 / paces[name][-1].wall_s:,.0f} an hour", style="dim")
    rows = []
    base = np.array([pace.wall_s for pace in next(iter(paces.values()))])
    for name, each in paces.items():
        wall_s, cpu_s = np.array([pace.wall_s for pace in each]), np.array([pace.cpu_s for pace in each])
        faster = ratio(base, wall_s)
        rates = 3600 / float(np.median(wall_s)), faster.median, faster.low, faster.high
        rows.append((name, *rates, float(np.median(cpu_s))))
    columns = {"candidate": "", "dives an hour": ",.0f", "times the first": ".2f", "first quartile": ".2f",
               "third quartile": ".2f", "processor seconds a dive": ".3f"}  # fmt: skip
    note = f"{arguments.rounds} rounds of {arguments.dives} dives, from {len(set(requests))} files."
    table = make_table("dives an hour, from files to scores", columns, rows, note)
    finish_result(replace(result, bundles=(bundle,), tables=(table,), conditions=watch.conditions), arguments.json)
    return 0


@dataclass(frozen=True)
class _Pace:
    """Of one dive, on the clock and of the processor."""

    wall_s: float
    cpu_s: float


def _in_turns(scorer: Scorer, requests: Sequence[DiveRequest]) -> _Pace:
    """Score dives one after the other."""
    began_s, began_cpu_s = time.perf_counter(), own_cpu_s()
    for outcome in score_all(scorer, requests, any_exemplar=True):
        _check(outcome)
    return _Pace((time.perf_counter() - began_s) / len(requests), (own_cpu_s() - began_cpu_s) / len(requests))


def _ahead(setup: WorkerSetup, requests: Sequence[DiveRequest], workers: int) -> _Pace:
    """Score dives in processes; the clock begins once every process has had its first dives."""
    first = 2 * workers
    began_s = began_cpu_s = 0.0
    with closing(score_in_parallel(setup, enumerate([*requests[:first], *requests]), workers=workers)) as outcomes:
        for number, (_, outcome) in enumerate(outcomes, start=1):
            _check(outcome)
            if number == first:
                began_s, began_cpu_s = time.perf_counter(), own_cpu_s()
            elif number == first + len(requests):
                return _Pace(
                    (time.perf_counter() - began_s) / len(requests), (own_cpu_s() - began_cpu_s) / len(requests)
                )
    raise UserError("dives are missing")


def _check(outcome: DiveOutcome) -> None:
    if outcome.error is not None:
        raise UserError(f"{outcome.request.video} cannot be scored: {outcome.error}; leave it out of the list")
