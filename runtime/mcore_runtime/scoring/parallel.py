"""Scoring of many dives in several processes: each reads its next dive while its engine works on the one before.

A dive that ends its process (a crash of a decoder), or takes too long, costs itself only: the process is started anew,
and the dive is tried once more, alone, before it is given up.
"""

from __future__ import annotations

import math
import multiprocessing
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from mcore.common.errors import UserError, first_line
from mcore.common.worker_process import begin_worker
from mcore.video import SampledClip, sample_clip
from mcore_runtime.bundle.records import Precision
from mcore_runtime.scoring.batch import DiveOutcome, DiveRequest, why_not_tried, with_search_notes
from mcore_runtime.scoring.comparison import Comparison
from mcore_runtime.scoring.scorer import Scorer, video_facts

TIME_LIMIT_S = 300.0
"""A dive takes about a second; one far within a long recording without an index, minutes."""
_IN_HAND = 2
"""Dives that a process has: one in the engine, one that is read."""
_POLL_S = 0.25
"""Between two looks at time limits and at whether to stop."""
_DEATHS_WITHOUT_A_DIVE = 3
"""Processes that may end one after the other, beyond one each, before it is not a dive's fault."""


@dataclass(frozen=True)
class WorkerSetup:
    """How every process scores; arguments of ``Scorer`` and of ``Scorer.select``."""

    bundle: Path
    backend: str = "auto"
    precision: Precision | None = None
    threads: int = 1
    num_exemplars: int | None = None
    any_exemplar: bool = False
    accept_unlike: bool = False

    def open(self) -> Scorer:
        """Load the bundle and its engine."""
        return Scorer(
            self.bundle,
            self.backend,
            precision=self.precision,
            threads=self.threads,
            num_exemplars=self.num_exemplars,
        )


@dataclass(frozen=True)
class _Began:
    """A process begins to read a dive."""

    index: int


@dataclass(frozen=True)
class _Done:
    index: int
    outcome: DiveOutcome


@dataclass(frozen=True)
class _Ready:
    """A process has loaded its engine."""


@dataclass(frozen=True)
class _CannotStart:
    error: str


@dataclass(frozen=True)
class _Read:
    """A dive whose clip is in memory, or the reason why it is not."""

    index: int
    request: DiveRequest
    clip: SampledClip | None = None
    comparison: Comparison | None = None
    read_s: float = 0.0
    error: str | None = None


def score_in_parallel(
    setup: WorkerSetup,
    requests: Iterable[tuple[int, DiveRequest]],
    *,
    workers: int,
    time_limit_s: float = TIME_LIMIT_S,
    stopping: Callable[[], bool] = lambda: False,
) -> Generator[tuple[int, DiveOutcome], None, None]:
    """Score dives in processes of their own.

    Args:
        setup: how.
        requests: the dives with their places in the list.
        workers: processes.
        time_limit_s: for one dive, from the beginning of its reading; it is tried twice.
        stopping: asked now and then; once it says yes, no dive is begun any more. Those in hand are still yielded.

    Yields:
        Each dive's place and outcome, in the order in which they are finished; every dive once.

    Raises:
        UserError: the engine cannot be loaded, or processes end whatever they do.
    """
    pool = _Pool(setup, requests, time_limit_s, stopping)
    try:
        for _ in range(workers):
            pool.start_worker()
        yield from pool.run()
    finally:
        pool.close()


class _Worker:
    """A process, seen from its parent."""

    def __init__(self, setup: WorkerSetup) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, setup), daemon=True)
        with _without_ctrl_c():
            self.process.start()
        theirs.close()  # so that the process' end shows as the connection's end
        self.in_hand: dict[int, float] = {}
        """Dives given, and until when they must be done; infinity: not begun."""
        self.is_ready = False
        self.is_alone = False
        """Its dive was in hand when a process ended, so it gets no other."""

    def give(self, index: int, request: DiveRequest) -> None:
        self.in_hand[index] = math.inf
        with suppress(OSError):  # it has just ended, which the next look finds
            self.connection.send((index, request))

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Pool:
    def __init__(
        self,
        setup: WorkerSetup,
        requests: Iterable[tuple[int, DiveRequest]],
        time_limit_s: float,
        stopping: Callable[[], bool],
    ) -> None:
        self._setup, self._time_limit_s, self._stopping = setup, time_limit_s, stopping
        self._requests = dict(requests)
        self._waiting = deque(self._requests)
        self._suspects: deque[int] = deque()
        """In hand when a process ended: each is tried again alone, which shows whose fault it was."""
        self._workers: list[_Worker] = []
        self._deaths = 0

    def start_worker(self) -> None:
        self._workers.append(_Worker(self._setup))

    def close(self) -> None:
        while self._workers:
            self._workers.pop().kill()

    def run(self) -> Iterator[tuple[int, DiveOutcome]]:
        while True:
            is_over = self._stopping() or not (self._waiting or self._suspects)
            if is_over and not any(worker.in_hand for worker in self._workers):
                return
            if not is_over:
                for worker in self._workers:
                    self._feed(worker)
            wait([worker.connection for worker in self._workers], _POLL_S)
            for worker in list(self._workers):
                for done in self._look_at(worker):
                    self._deaths = 0
                    yield done.index, replace(done.outcome, accept_unlike=self._setup.accept_unlike)

    def _feed(self, worker: _Worker) -> None:
        if not worker.is_ready:
            return
        worker.is_alone &= bool(worker.in_hand)
        if self._suspects:
            if not worker.in_hand:
                worker.is_alone = True
                self._give(worker, self._suspects.popleft())
            return
        while self._waiting and len(worker.in_hand) < _IN_HAND and not worker.is_alone:
            self._give(worker, self._waiting.popleft())

    def _give(self, worker: _Worker, index: int) -> None:
        worker.give(index, self._requests[index])

    def _look_at(self, worker: _Worker) -> Iterator[_Done]:
        """Take what a process sent; where it ended, or must be ended, start another one."""
        why_ended: str | None = None
        try:
            while worker.connection.poll():
                message = worker.connection.recv()
                if isinstance(message, _Done):
                    del worker.in_hand[message.index]
                    yield message
                elif isinstance(message, _Began):
                    worker.in_hand[message.index] = time.monotonic() + self._time_limit_s
                elif isinstance(message, _CannotStart):
                    raise UserError(message.error)
                else:
                    worker.is_ready = True
        except (EOFError, OSError):
            worker.process.join()
            why_ended = _describe_end(worker.process.exitcode)
        if why_ended is None and time.monotonic() > min(worker.in_hand.values(), default=math.inf):
            why_ended = f"it took more than {self._time_limit_s:g} s (--time-limit)"
        if why_ended is not None:
            yield from self._replace(worker, why_ended)

    def _replace(self, worker: _Worker, why_ended: str) -> Iterator[_Done]:
        worker.kill()
        self._workers.remove(worker)
        if self._stopping():
            return  # whatever was in hand is left for the next time
        for index, deadline in reversed(worker.in_hand.items()):
            if deadline == math.inf:
                self._waiting.appendleft(index)
            elif not worker.is_alone:
                self._suspects.appendleft(index)
            else:
                yield _Done(index, DiveOutcome(self._requests[index], error=f"tried twice: {why_ended}"))
        self._deaths += 1
        if self._deaths > len(self._workers) + 1 + _DEATHS_WITHOUT_A_DIVE:
            raise UserError(
                f"processes that score end again and again, the last one so: {why_ended}. Try fewer --workers, and one "
                "dive without --out"
            )
        self.start_worker()


def _describe_end(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
        hint = " (too little memory?)" if name == "SIGKILL" else ""
        return f"the process that scored it was ended by {name}{hint}"
    return f"the process that scored it ended with exit code {exit_code}"


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Let a new process inherit that Ctrl-C is for its parent: it takes a second before it could say so itself."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, setup: WorkerSetup) -> None:
    """Body of a process: this thread runs the engine, another one reads."""
    begin_worker()
    try:
        scorer = setup.open()
    except (UserError, OSError) as error:
        connection.send(_CannotStart(str(error)))
        return
    with scorer:
        connection.send(_Ready())
        read: queue.Queue[_Read] = queue.Queue(maxsize=1)
        # One write at a time: both threads send.
        sending = threading.Lock()
        threading.Thread(target=_read_ahead, args=(connection, sending, scorer, setup, read), daemon=True).start()
        while True:
            dive = read.get()
            outcome = _score(scorer, dive)
            with sending:
                connection.send(_Done(dive.index, outcome))


def _read_ahead(
    connection: Connection, sending: threading.Lock, scorer: Scorer, setup: WorkerSetup, read: queue.Queue[_Read]
) -> None:
    while True:
        try:
            index, request = connection.recv()
        except (EOFError, OSError):  # the parent has ended, and with it this process
            return
        with sending:
            connection.send(_Began(index))
        read.put(_read(scorer, index, request, setup.any_exemplar))


def _read(scorer: Scorer, index: int, request: DiveRequest, any_exemplar: bool) -> _Read:
    began = time.perf_counter()
    if (refused := why_not_tried(scorer, request)) is not None:
        return _Read(index, request, error=refused)
    try:
        comparison = scorer.select(request.dive_number, any_exemplar=any_exemplar, difficulty=request.difficulty)
        # Processes share the cores already: a decoder of many threads in each would cost memory only.
        clip = sample_clip(
            request.video,
            scorer.clip_config,
            start_s=request.start_s,
            end_s=request.end_s,
            central=True,
            decoder_threads=False,
        )
    except Exception as error:  # whatever it is, it is this dive's
        return _Read(index, request, error=_describe(error))
    return _Read(index, request, clip, comparison, time.perf_counter() - began)


def _score(scorer: Scorer, dive: _Read) -> DiveOutcome:
    request = dive.request
    if dive.clip is None or dive.comparison is None:
        return DiveOutcome(request, error=dive.error)
    try:
        result = scorer.score_clip(
            dive.clip,
            dive.comparison,
            video=video_facts(dive.clip, request.start_s, request.end_s),
            # As if the engine had begun at once: that it waited for another dive says nothing of this one.
            began=time.perf_counter() - dive.read_s,
        )
    except Exception as error:
        return DiveOutcome(request, error=_describe(error))
    return with_search_notes(request, result)


def _describe(error: Exception) -> str:
    if isinstance(error, UserError | OSError):
        return str(error)
    return f"unexpected {type(error).__name__}: {first_line(error)}"
