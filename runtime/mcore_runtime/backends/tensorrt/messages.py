"""The log of TensorRT: one logger for the process, from which every listener gets every message.

TensorRT keeps the first logger it is given for as long as any of its objects lives, and ignores later ones; so each
library has one here that is never freed.

Example:
    >>> with flavour.journal.listen() as messages:
    ...     engine = runtime.deserialize_cuda_engine(content)
    >>> complaints(messages)
    ['ERROR: the engine plan file is not compatible with this version of TensorRT']
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ERRORS = ("INTERNAL_ERROR", "ERROR")
"""TensorRT's severities that say why something failed."""
_JOURNALS: dict[str, Journal] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Message:
    """One line of TensorRT's log."""

    severity: str
    """``INTERNAL_ERROR``, ``ERROR``, ``WARNING``, ``INFO`` or ``VERBOSE``."""
    text: str


class Journal:
    """Receives a library's messages, from any of its threads, and hands them to those who listen.

    Args:
        module: ``tensorrt`` or ``tensorrt_rtx``.
    """

    def __init__(self, module: Any) -> None:
        self._listeners: list[list[Message]] = []

        def init(logger: Any) -> None:
            module.ILogger.__init__(logger)  # the bindings need it to be called by name

        def log(_: Any, severity: Any, text: str) -> None:
            # Called from C++ that allows no exception to pass: it only stores.
            message = Message(severity.name, text.strip())
            for listener in tuple(self._listeners):
                listener.append(message)

        self.logger: Any = type("Logger", (module.ILogger,), {"__init__": init, "log": log})()
        """What the library's ``Builder``, ``Runtime`` and ``OnnxParser`` are given."""

    @contextmanager
    def listen(self) -> Iterator[list[Message]]:
        """Give a list that fills with every message from now on, until the end of the block."""
        messages: list[Message] = []
        self._listeners.append(messages)
        try:
            yield messages
        finally:
            self._listeners = [other for other in self._listeners if other is not messages]


def journal_of(module: Any) -> Journal:
    """Return the one journal of a library in this process."""
    with _LOCK:
        if module.__name__ not in _JOURNALS:
            _JOURNALS[module.__name__] = Journal(module)
        return _JOURNALS[module.__name__]


def complaints(messages: Sequence[Message]) -> list[str]:
    """Return errors and warnings as lines, in their order, each once."""
    lines = [f"{message.severity}: {message.text}" for message in messages if message.severity in (*ERRORS, "WARNING")]
    return list(dict.fromkeys(lines))


def describe_errors(messages: Sequence[Message]) -> str:
    """Return why something failed in one line, as the library said it."""
    texts = dict.fromkeys(message.text for message in messages if message.severity in ERRORS)
    return "; ".join(texts).replace("\n", " ") or "the library gave no reason"
