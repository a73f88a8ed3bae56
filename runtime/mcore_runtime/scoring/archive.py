"""A list of many dives, scored by several processes into a file that a later run can go on with."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from mcore.common.signals import stop_on_signal
from mcore_runtime.scoring.batch import DiveOutcome, DiveRequest
from mcore_runtime.scoring.parallel import TIME_LIMIT_S, WorkerSetup, score_in_parallel
from mcore_runtime.scoring.rows import RowsFile, rows_head
from mcore_runtime.scoring.scorer import Scorer

_NAMED_FAILURES = 20
"""Dives whose reasons are printed; all of them are in the file."""
_LINE_EVERY_S = 60.0
"""In a log, where there is no bar."""


@dataclass(frozen=True)
class ArchiveRun:
    """What is there after a run."""

    num_dives: int
    """Of the list."""
    counts: Counter[str]
    """Dives that are in the file by their status, those of earlier runs included."""
    num_new: int
    """Dives of this run."""
    dives_per_hour: float
    """Of this run, the start of its processes included."""

    @property
    def is_complete(self) -> bool:
        """Whether every dive of the list is in the file."""
        return self.counts.total() == self.num_dives


def score_archive(
    scorer: Scorer,
    setup: WorkerSetup,
    requests: Sequence[DiveRequest],
    out: Path,
    *,
    resume: bool = False,
    workers: int = 1,
    time_limit_s: float = TIME_LIMIT_S,
    want_outcomes: bool = False,
) -> tuple[ArchiveRun, list[DiveOutcome]]:
    """Score those dives of a list that are not in the file yet, with a bar or lines on standard error.

    Ctrl-C and SIGTERM finish the dives in hand; again, they end at once. Either way the file is whole.

    Args:
        scorer: opened with ``setup``; it may be closed.
        setup: how the processes score.
        requests: the list.
        out: the file; see ``RowsFile``.
        resume: go on with it.
        workers: processes.
        time_limit_s: for one dive.
        want_outcomes: return the outcomes of a complete list too, in its order; they fill the memory.

    Raises:
        UserError: of the file or the processes; see ``RowsFile`` and ``score_in_parallel``.
    """
    with (
        RowsFile(out, head_of(scorer, setup, requests), resume=resume) as rows,
        stop_on_signal() as stopping,
        ArchiveProgress(len(requests), len(rows)) as progress,
    ):
        left = [(index, request) for index, request in enumerate(requests) if index not in rows]
        outcomes = score_in_parallel(
            setup, left, workers=min(workers, len(left)), time_limit_s=time_limit_s, stopping=stopping
        )
        with closing(outcomes):
            for index, outcome in outcomes:
                rows.append(index, outcome)
                progress.add(outcome)
        run = ArchiveRun(len(requests), rows.counts, progress.num_new, progress.dives_per_hour)
        return run, rows.outcomes(requests) if want_outcomes and run.is_complete else []


def head_of(scorer: Scorer, setup: WorkerSetup, requests: Sequence[DiveRequest]) -> dict[str, Any]:
    """Return what a file of scores is of; see ``rows_head``."""
    options = {
        "threads": setup.threads,
        "num_exemplars": setup.num_exemplars,
        "any_exemplar": setup.any_exemplar,
        "accept_unlike": setup.accept_unlike,
    }
    return rows_head(scorer, requests, options)


class ArchiveProgress:
    """Dives that are done, their rate, and the time left: a bar on a terminal, else a line now and then."""

    def __init__(self, num_dives: int, num_there: int) -> None:
        self.num_new = 0
        self._num_dives, self._num_there = num_dives, num_there
        self._num_failed = 0
        self._began_s = self._said_s = time.monotonic()
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=num_dives, completed=num_there)

    def __enter__(self) -> ArchiveProgress:
        if self._num_there:
            print(f"{self._num_there} of {self._num_dives} dives are there already", file=sys.stderr)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._num_failed > _NAMED_FAILURES:
            print(f"not scored: {self._num_failed - _NAMED_FAILURES} more; the file has their reasons", file=sys.stderr)

    @property
    def dives_per_hour(self) -> float:
        """Of this run."""
        return 3600 * self.num_new / max(time.monotonic() - self._began_s, 1e-9)

    def add(self, outcome: DiveOutcome) -> None:
        """Count a dive, and say why it was not scored."""
        if outcome.error is not None:
            self._num_failed += 1
            if self._num_failed <= _NAMED_FAILURES:
                self._console.print(outcome.why_not_scored, markup=False, soft_wrap=True)
        self.add_many(1)

    def add_many(self, count: int) -> None:
        """Count dives."""
        self.num_new += count
        done = self._num_there + self.num_new
        left = timedelta(seconds=round(3600 * (self._num_dives - done) / self.dives_per_hour))
        rate = f"{self.dives_per_hour:,.0f} dives an hour, {left} left"
        self._bar.update(self._task, completed=done, description=rate)
        if not self._console.is_terminal and time.monotonic() - self._said_s > _LINE_EVERY_S:
            self._said_s = time.monotonic()
            print(f"{done} of {self._num_dives}: {rate}", file=sys.stderr, flush=True)
