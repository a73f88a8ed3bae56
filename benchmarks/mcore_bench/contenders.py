"""Every backend and precision of a bundle that this machine runs, opened; and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from mcore.common.errors import UserError, first_line
from mcore_runtime.backends import BFLOAT16, Backend
from mcore_runtime.backends.select import BACKENDS, BackendName
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import Precision
from mcore_runtime.scoring.scorer import Scorer

PUBLISHED_EXEMPLARS = 10
PLAIN = "ONNX Runtime, plain export"
"""The published module exported as it is: what the bundle's engines are held to."""
DIVE_PEERS = "dive, from network input to score, and its peers"
BACKBONE_PEERS = "backbone and its peers"
OTHER_NETWORKS = "other video backbones"
COPIES = "copies and computing"
"""Titles of groups, or beginnings of them, that pages and comparisons know them by."""


@dataclass(frozen=True)
class Contender:
    """One backend with one precision, ready to score."""

    name: str
    """Such as ``openvino fp32``."""
    about: str
    """What really runs, as the engine says."""
    scorer: Scorer
    backend: BackendName
    """As it was asked for."""


@dataclass(frozen=True)
class Contenders:
    """What can be measured, and what cannot."""

    opened: tuple[Contender, ...]
    absent: tuple[str, ...]
    """One line for each that does not run here, with its reason."""


@contextmanager
def open_contenders(
    bundle: Bundle,
    threads: int,
    *,
    backends: Sequence[BackendName] = BACKENDS,
    num_exemplars: int = PUBLISHED_EXEMPLARS,
) -> Iterator[Contenders]:
    """Open every backend in every precision that the bundle has; close them at the end.

    Args:
        bundle: with exemplars.
        threads: CPU threads of each.
        backends: those to try; ``auto`` is one of the others and is left out.
        num_exemplars: that a dive is compared with.

    Raises:
        UserError: none runs here.
    """
    with ExitStack() as stack:
        opened: list[Contender] = []
        absent: list[str] = []
        for backend in backends:
            if backend == "auto":
                continue
            precisions: Iterable[Precision] = ("fp32",) if backend == BFLOAT16 else bundle.variants
            for precision in precisions:
                name = contender_name(backend, precision)
                try:
                    scorer = _open(bundle, backend, precision, threads, num_exemplars)
                except UserError as error:  # not installed, no device, no engine: each says what to do
                    absent.append(f"{name}: {first_line(error)}")
                    continue
                stack.enter_context(scorer)
                opened.append(Contender(name, describe(scorer.backend), scorer, backend))
        if not opened:
            raise UserError(f"no backend runs {bundle.path} here: {'; '.join(absent)}")
        yield Contenders(tuple(opened), tuple(absent))


def contender_name(backend: str, precision: str) -> str:
    """Name a backend with the precision of its graphs, or with bfloat16."""
    return "openvino bf16" if backend == BFLOAT16 else f"{backend} {precision}"


def _open(bundle: Bundle, backend: BackendName, precision: Precision, threads: int, num_exemplars: int) -> Scorer:
    return Scorer(bundle, backend, precision=precision, threads=threads, num_exemplars=num_exemplars)


def describe(backend: Backend) -> str:
    """Say what really runs, and in which arithmetic each part."""
    arithmetic = ", ".join(f"{part} {kind}" for part, kind in backend.precision.items())
    return f"{backend.provider}: {arithmetic}"
