"""Delivery of a session's dives to receivers, each in a thread of its own: nobody waits for any of them.

Example:
    >>> with Webhooks(store, targets, secret, log=print) as webhooks:
    ...     with LiveSession(source, engine, settings, store=store) as session:
    ...         webhooks.listen(session.subscribe)
    ...         session.run()
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from mcore_runtime.integrations.webhooks.backoff import FIRST_PAUSE_S, MAX_PAUSE_S, Backoff
from mcore_runtime.integrations.webhooks.outbox import Outbox
from mcore_runtime.integrations.webhooks.post import Answer, Result, post
from mcore_runtime.integrations.webhooks.publish import publish
from mcore_runtime.integrations.webhooks.signing import signed_headers
from mcore_runtime.integrations.webhooks.target import WebhookTarget
from mcore_runtime.live.broadcast import Subscription
from mcore_runtime.session import SessionStore

_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 5.0
"""Time to send what is left when a session ends."""


class Delivery:
    """Sends what one receiver does not have; for one thread.

    Args:
        store: of the session.
        target: the receiver.
        secret: what messages are signed with; None: they are not.
        log: gets a line when the receiver fails, and when it is well again.
        timeout_s: longest time for one message, seconds.
        first_pause_s: pause after a first failure, seconds; doubles with each up to a minute.
    """

    def __init__(
        self,
        store: SessionStore,
        target: WebhookTarget,
        secret: bytes | None,
        log: Callable[[str], None],
        *,
        timeout_s: float = _TIMEOUT_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._store, self._target, self._secret, self._log_line = store, target, secret, log
        self._timeout_s, self._first_pause_s = timeout_s, first_pause_s
        self._outbox = Outbox(store, target)
        self._backoff = Backoff(first_pause_s)
        self._refused: dict[int, Backoff] = {}
        self.is_gone = False
        """Whether the receiver has said that it wants no more."""

    @property
    def left(self) -> int:
        """Dives whose newest result the receiver does not have."""
        return len(self._outbox.pending())

    def send_due(self) -> float:
        """Send all that is due; returns the seconds until something is due again, which news may shorten."""
        for number in self._outbox.pending():
            if self.is_gone or self._backoff.wait_s > 0:
                break
            if number not in self._refused or self._refused[number].wait_s == 0:
                self._send(number)
        waits = [self._refused[n].wait_s for n in self._outbox.pending() if n in self._refused]
        return min(MAX_PAUSE_S, self._backoff.wait_s or min(waits, default=MAX_PAUSE_S))

    def finish(self, deadline_s: float) -> None:
        """Send what is left until that is done or ``time.monotonic()`` reaches a deadline."""
        self._refused.clear()
        self._backoff.succeed()
        while self.left and not self.is_gone and (left_s := deadline_s - time.monotonic()) > 0:
            self._timeout_s = min(self._timeout_s, left_s)
            wait_s = self.send_due()
            if self.left:
                time.sleep(max(0.0, min(wait_s, deadline_s - time.monotonic())))

    def _send(self, number: int) -> None:
        message = self._outbox.message(number)
        headers = signed_headers(self._secret, message.id, int(time.time()), message.body)
        deliver = publish if self._target.is_mqtt else post
        answer = deliver(self._target, message.body, headers, self._timeout_s)
        if answer.result is Result.DELIVERED:
            self._outbox.mark(message)
            self._refused.pop(number, None)
            if self._backoff.failures:
                self._log("takes results again")
            self._backoff.succeed()
        elif answer.result is Result.REFUSED:
            self._backoff.succeed()
            first = number not in self._refused
            self._refused.setdefault(number, Backoff(self._first_pause_s)).fail(answer.wait_s)
            if first:
                self._log(f"refuses dive {number}: {answer.reason}; tried again for as long as the session lasts")
        else:
            self._fail(answer)

    def _fail(self, answer: Answer) -> None:
        self.is_gone = answer.result is Result.GONE
        if self.is_gone:
            self._log(f"{answer.reason}; nothing more is sent in this run")
        elif not self._backoff.failures:
            self._log(f"does not take results: {answer.reason}; tried again for as long as the session lasts")
        self._backoff.fail(answer.wait_s)

    def _log(self, text: str) -> None:
        line = f"webhook {self._target}: {text}"
        self._store.log("webhook", line)
        self._log_line(line)


class Webhooks:
    """The receivers of a session; a context manager around the session, so that it hears the session's end.

    Args:
        store: of the session; its owner closes it, after this.
        targets: receivers; none: nothing happens.
        secret: what messages are signed with; None: they are not.
        log: gets a line when a receiver fails or is well again, from any thread.
        end_timeout_s: for what is left at the end, seconds.
    """

    def __init__(
        self,
        store: SessionStore,
        targets: Sequence[WebhookTarget],
        secret: bytes | None,
        log: Callable[[str], None],
        *,
        end_timeout_s: float = _END_TIMEOUT_S,
    ) -> None:
        self._store, self._log_line, self._end_timeout_s = store, log, end_timeout_s
        self._deliveries = [(target, Delivery(store, target, secret, log)) for target in targets]
        self._threads: list[threading.Thread] = []
        self._deadline_s = 0.0
        self._ending, self._abandoned = threading.Event(), threading.Event()

    def __enter__(self) -> Webhooks:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._threads or (kind is not None and not issubclass(kind, Exception)):
            return  # a second Ctrl-C: the threads end with the process, and the next run sends what is left
        self._deadline_s = time.monotonic() + self._end_timeout_s
        self._ending.set()
        for thread in self._threads:
            thread.join(max(0.0, self._deadline_s - time.monotonic()) + 1.0)
        self._abandoned.set()
        for target, delivery in self._deliveries:
            if left := delivery.left:
                self._log_line(
                    f"warning: webhook {target} does not have {left} results; to send them: "
                    f"python -m mcore_runtime.integrations.webhooks {self._store.folder} URL"
                )

    def listen(self, subscribe: Callable[[], Subscription]) -> None:
        """Send what a session has and will have, until its subscriptions end.

        Args:
            subscribe: of the session.
        """
        for target, delivery in self._deliveries:
            thread = threading.Thread(
                target=self._run, args=(delivery, subscribe()), name=f"webhook {target}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _run(self, delivery: Delivery, subscription: Subscription) -> None:
        with subscription:
            try:
                while not subscription.is_over and not delivery.is_gone:
                    subscription.get(delivery.send_due())
                self._ending.wait()
                delivery.finish(self._deadline_s)
            except ValueError:
                if not self._abandoned.is_set():
                    raise
                # The store is closed: nobody waits for this thread any more. What it sent last is sent once more.
