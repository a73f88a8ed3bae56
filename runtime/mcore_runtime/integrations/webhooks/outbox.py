"""Outbox of one receiver: the results of a session that it does not have yet.

There is no queue. The newest result of every dive lies in the session's store; beside it lies, for each receiver, which
of them it has taken. The difference is what is to be sent, also after a crash, and it is never more than the dives.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from mcore.common.typed_json import encode
from mcore_runtime.integrations.webhooks.target import WebhookTarget
from mcore_runtime.session import SessionStore

_ID_KEY = "webhook id"


@dataclass(frozen=True)
class Message:
    """The newest result of a dive, as it is sent."""

    number: int
    """Number of the dive."""
    revision: int
    """Grows with every change of the dive's record."""
    id: str
    """The same whenever this revision of this dive of this session is sent."""
    body: bytes
    """The message as JSON, UTF-8."""


class Outbox:
    """Dives whose newest revision one receiver does not have yet; for one thread.

    Args:
        store: of the session.
        target: the receiver.
    """

    def __init__(self, store: SessionStore, target: WebhookTarget) -> None:
        self._store, self._key = store, f"webhook {target.key}"
        taken = store.load_state(self._key) or {}
        self._taken = {int(number): int(revision) for number, revision in taken.items()}

    def pending(self) -> list[int]:
        """Return the dives whose newest result the receiver does not have, by number; none that is held back."""
        newest = self._store.revisions()
        due = (number for number, revision in newest.items() if revision > self._taken.get(number, 0))
        return sorted(number for number in due if not self._store.newest(number)[1].hides_score)

    def message(self, number: int) -> Message:
        """Return the newest result of a dive."""
        revision, dive = self._store.newest(number)
        name = f"{session_id(self._store)}-{number}-{revision}"
        session = {
            "id": session_id(self._store),
            "name": self._store.folder.resolve().name,
            "started": self._store.started,
        }
        data: dict[str, Any] = {"session": session, "revision": revision, "dive": dive.to_json()}
        return Message(number, revision, name, encode({"type": "dive", "data": data}).encode())

    def mark(self, message: Message) -> None:
        """Keep that the receiver has a message."""
        self._taken[message.number] = message.revision
        self._store.save_state(self._key, {str(number): revision for number, revision in self._taken.items()})


def session_id(store: SessionStore) -> str:
    """Return the name that no other session has, which is made when it is first asked for."""
    kept = store.load_state(_ID_KEY)
    if kept is None:
        kept = secrets.token_hex(8)
        store.save_state(_ID_KEY, kept)
    return str(kept)
