"""Trials of backends: the graphs are really loaded, because only that tells what runs on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mcore.common.errors import UserError, first_line
from mcore_runtime.backends.select import BACKENDS, BackendName, open_backend
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import GraphSet, Precision


@dataclass(frozen=True)
class Trial:
    """One backend with the precisions that it treats alike."""

    backend: BackendName
    precisions: tuple[Precision, ...]
    runs: bool
    text: str
    """Device that it runs on; or the reason why it does not run, with the remedy."""


def try_backends(bundle: Bundle) -> Iterator[Trial]:
    """Load the graphs of every precision into every backend."""
    for backend in BACKENDS:
        if backend != "auto":
            yield from try_backend(bundle, backend)


def try_backend(bundle: Bundle, backend: BackendName) -> Iterator[Trial]:
    """Load the graphs of every precision into one backend."""
    outcomes: dict[tuple[bool, str], list[Precision]] = {}
    for precision, graphs in bundle.variants.items():
        outcomes.setdefault(_try(graphs, backend), []).append(precision)
    for (runs, text), precisions in outcomes.items():
        yield Trial(backend, tuple(precisions), runs, text)


def _try(graphs: GraphSet, backend: BackendName) -> tuple[bool, str]:
    try:
        opened = open_backend(graphs, backend)
    except UserError as error:  # not installed, no device, no engine that fits: each says what to do
        return False, first_line(error)
    opened.close()
    return True, f"runs ({opened.provider})"
