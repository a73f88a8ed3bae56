"""The engine's thread: what fails is opened again, what waits is not kept waiting for a device that is gone."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import numpy as np
import pytest

from mcore_runtime.live.scorer_thread import EngineGone, EngineThread
from mcore_runtime.scoring.scorer import Scorer

PATIENCE_S = 10.0


class FakeScorer:
    """Counts how often it was opened and closed."""

    opened = 0
    closed = 0

    def __init__(self) -> None:
        type(self).opened += 1

    def close(self) -> None:
        type(self).closed += 1
        raise RuntimeError("what is broken does not even close")


class Opener:
    """Opens engines of a class of its own; fails as often as it is told to."""

    def __init__(self) -> None:
        self.kind: Any = type("Counted", (FakeScorer,), {"opened": 0, "closed": 0})
        self.failures = 0

    def __call__(self) -> Scorer:
        if self.failures:
            self.failures -= 1
            raise OSError("no device")
        return cast("Scorer", self.kind())


def boom(scorer: Scorer) -> None:
    raise RuntimeError("the device is gone")


def never(error: Exception) -> None:
    raise AssertionError(f"should not fail: {error}")


def test_a_failed_engine_is_opened_again_for_the_next_job() -> None:
    opener, errors, states = Opener(), list[Exception](), list[str | None]()
    with EngineThread(opener) as engine:
        engine.on_state = states.append
        done = list[Scorer]()
        engine.submit(done.append, never)
        engine.submit(boom, errors.append)
        engine.submit(done.append, never)
        engine.drain()
        assert engine.problem is None
        assert engine.reopened == 1
    assert [str(error) for error in errors] == ["the device is gone"]
    assert done[0] is not done[1]
    assert states == ["RuntimeError: the device is gone", None]
    assert (opener.kind.opened, opener.kind.closed) == (2, 2)


def test_it_is_opened_again_though_no_job_comes() -> None:
    opener, again = Opener(), threading.Event()
    with EngineThread(opener) as engine:
        engine.on_state = lambda problem: again.set() if problem is None else None
        engine.submit(boom, lambda error: None)
        assert again.wait(PATIENCE_S)


def test_jobs_fail_at_once_while_there_is_no_engine_and_it_comes_back() -> None:
    opener, errors, back = Opener(), list[Exception](), threading.Event()
    with EngineThread(opener, first_delay_s=0.05) as engine:
        opener.failures = 3
        engine.on_state = lambda problem: back.set() if problem is None else None
        engine.submit(boom, errors.append)
        engine.submit(lambda scorer: None, errors.append)
        engine.drain()
        assert isinstance(errors[1], EngineGone)
        assert "no device" in str(errors[1])
        assert back.wait(PATIENCE_S)
        engine.submit(lambda scorer: None, never)
        engine.drain()
    assert len(errors) == 2


def test_pauses_between_attempts_grow() -> None:
    opener, attempts, back = Opener(), list[float](), threading.Event()

    def state(problem: str | None) -> None:
        attempts.append(time.monotonic())
        if problem is None:
            back.set()

    with EngineThread(opener, first_delay_s=0.04) as engine:
        opener.failures = 4
        engine.on_state = state
        engine.submit(boom, lambda error: None)
        assert back.wait(PATIENCE_S)
    pauses = np.diff(attempts[1:])
    assert all(pause >= 0.04 * 2**i * 0.99 for i, pause in enumerate(pauses))


def test_what_cannot_be_opened_at_first_is_the_callers_error() -> None:
    opener = Opener()
    opener.failures = 1
    with pytest.raises(OSError, match="no device"):
        EngineThread(opener)


def test_closing_finishes_what_waits() -> None:
    done = list[int]()

    def slow(scorer: Scorer) -> None:
        time.sleep(0.02)
        done.append(len(done))

    engine = EngineThread(Opener())
    for _ in range(5):
        engine.submit(slow, never)
    assert engine.waiting
    engine.close()
    engine.close()
    assert done == [0, 1, 2, 3, 4]
