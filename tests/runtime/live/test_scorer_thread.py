"""The scorer's thread: what fails is opened again, what waits is not kept waiting for a device that is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from mcore_runtime.live.events import Event, Logged
from mcore_runtime.live.scorer_thread import ScorerThread
from mcore_runtime.scoring.scorer import Scorer

PATIENCE_S = 10.0


class FakeScorer:
    """Counts how often it was opened and closed."""

    opened = 0
    closed = 0
    backend = SimpleNamespace(name="fake", provider="none")

    def __init__(self) -> None:
        type(self).opened += 1

    def close(self) -> None:
        type(self).closed += 1
        raise RuntimeError("what is broken does not even close")


class Opener:
    """Opens scorers of a class of its own; fails as often as it is told to."""

    def __init__(self) -> None:
        self.kind: Any = type("Counted", (FakeScorer,), {"opened": 0, "closed": 0})
        self.failures = 0

    def __call__(self) -> Scorer:
        if self.failures:
            self.failures -= 1
            raise OSError("no device")
        return cast("Scorer", self.kind())


@dataclass(frozen=True)
class Job:
    """Does something, and says what came of it."""

    work: Callable[[Scorer], object]

    def run(self, scorer: Scorer) -> Event:
        self.work(scorer)
        return Logged("done", "")

    def failed(self, error: Exception) -> Event:
        return Logged("failed", str(error))


def boom(scorer: Scorer) -> None:
    raise RuntimeError("the device is gone")


BOOM, NOTHING = Job(boom), Job(lambda scorer: None)
BACK = Logged("scorer", "open again: fake, none")


def test_a_failed_scorer_is_opened_again_for_the_next_job() -> None:
    opener, events, used = Opener(), list[Event](), list[Scorer]()
    with ScorerThread(opener) as thread:
        thread.on_event = events.append
        for job in (Job(used.append), BOOM, Job(used.append)):
            thread.submit(job)
        thread.drain()
        assert thread.problem is None
    assert events == [
        Logged("done", ""),
        Logged("failed", "the device is gone"),
        Logged("scorer", "RuntimeError: the device is gone"),
        BACK,
        Logged("done", ""),
    ]
    assert used[0] is not used[1]
    assert (opener.kind.opened, opener.kind.closed) == (2, 2)


def test_it_is_opened_again_though_no_job_comes() -> None:
    again = threading.Event()
    with ScorerThread(Opener()) as thread:
        thread.on_event = lambda event: again.set() if event == BACK else None
        thread.submit(BOOM)
        assert again.wait(PATIENCE_S)


def test_jobs_fail_at_once_while_there_is_no_scorer_and_it_comes_back_with_growing_pauses() -> None:
    opener, events, attempts, back = Opener(), list[Event](), list[float](), threading.Event()

    def keep(event: Event) -> None:
        events.append(event)
        if isinstance(event, Logged) and event.kind == "scorer":
            attempts.append(time.monotonic())
        if event == BACK:
            back.set()

    with ScorerThread(opener, first_delay_s=0.04) as thread:
        opener.failures = 4
        thread.on_event = keep
        thread.submit(BOOM)
        thread.submit(NOTHING)
        thread.drain()
        assert Logged("failed", "there is no scorer: OSError: no device") in events
        assert back.wait(PATIENCE_S)
        thread.submit(NOTHING)
        thread.drain()
    assert events[-1] == Logged("done", "")
    assert all(pause >= 0.04 * 2**i * 0.99 for i, pause in enumerate(np.diff(attempts[1:])))


def test_what_cannot_be_opened_at_first_is_the_callers_error() -> None:
    opener = Opener()
    opener.failures = 1
    with pytest.raises(OSError, match="no device"):
        ScorerThread(opener)


def test_closing_finishes_what_waits() -> None:
    done, go_on = list[int](), threading.Event()

    def work(scorer: Scorer) -> None:
        assert go_on.wait(PATIENCE_S)
        done.append(len(done))

    thread = ScorerThread(Opener())
    for _ in range(5):
        thread.submit(Job(work))
    assert thread.waiting
    go_on.set()
    thread.close()
    thread.close()
    assert done == [0, 1, 2, 3, 4]


def test_scores_go_before_what_may_get_a_head_start_and_nothing_is_lost() -> None:
    done, gate, busy = list[str](), threading.Event(), threading.Event()

    def wait(scorer: Scorer) -> None:
        busy.set()
        gate.wait(PATIENCE_S)

    def job(name: str) -> Job:
        return Job(lambda scorer: done.append(name))

    with ScorerThread(Opener()) as thread:
        thread.submit(Job(wait))
        busy.wait(PATIENCE_S)
        assert thread.offer(job("early 1"))
        thread.submit(job("score 1"))
        assert thread.offer(job("early 2"))
        thread.submit(job("score 2"))
        taken = [thread.offer(job("more")) for _ in range(8)]
        assert taken == [True] * 4 + [False] * 4  # it does not wait for room
        gate.set()
        thread.drain()
        thread.close()
    assert done == ["score 1", "score 2", "early 1", "early 2"] + ["more"] * 4
