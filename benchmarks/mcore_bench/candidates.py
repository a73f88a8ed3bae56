"""Every backend and precision of a bundle that this machine runs, opened; and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from mcore.common.errors import UserError, first_line
from mcore_runtime.backends import BFLOAT16
from mcore_runtime.backends.select import BACKENDS, BackendName
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import Precision
from mcore_runtime.scoring.scorer import Scorer

PUBLISHED_EXEMPLARS = 10
GPU_BACKENDS: tuple[BackendName, ...] = ("onnxruntime-cuda", "tensorrt", "tensorrt-rtx")

# Names that pages and baselines know candidates and groups by.
PUBLISHED = "published procedure, PyTorch eager"
PLAIN = "ONNX Runtime, plain export"
DIVE_PEERS = "dive, from network input to score, and its peers"
BACKBONE_PEERS = "backbone and its peers"


@dataclass(frozen=True)
class Candidate:
    """One backend with one precision, ready to score."""

    name: str
    """Name such as ``openvino fp32``."""
    about: str
    """Device and compute dtype that really run, as the backend says."""
    scorer: Scorer
    asked: BackendName

    @property
    def on_gpu(self) -> bool:
        """Return whether its graphs run on a GPU."""
        return self.scorer.backend.name in GPU_BACKENDS

    def compute_dtype(self, part: str) -> str:
        """Return the compute dtype of a part; one that is mostly int8 counts as int8."""
        kind = self.scorer.backend.precision[part]
        return next((name for name in ("int8", "bf16", "fp16") if kind.startswith(name)), "fp32")


@dataclass(frozen=True)
class Candidates:
    """Candidates that can be measured, and those that cannot."""

    opened: tuple[Candidate, ...]
    absent: tuple[str, ...]
    """One line for each that does not run here, with its reason."""


@contextmanager
def open_candidates(
    bundle: Bundle, threads: int, *, backends: Sequence[BackendName] = BACKENDS
) -> Iterator[Candidates]:
    """Open every backend in every precision that the bundle has, for a head start too; close them at the end.

    Args:
        bundle: with exemplars.
        threads: CPU threads of each.
        backends: those to try; ``auto`` is one of the others and is left out.

    Raises:
        UserError: none runs here.
    """
    with ExitStack() as stack:
        opened: list[Candidate] = []
        absent: list[str] = []
        for backend in backends:
            # bfloat16 is computed from the fp32 graphs, whatever other precisions there are.
            precisions: Iterable[Precision] = ("fp32",) if backend == BFLOAT16 else bundle.variants
            for precision in precisions if backend != "auto" else ():
                name = candidate_name(backend, precision)
                try:
                    scorer = Scorer(
                        bundle, backend, precision=precision, threads=threads, num_exemplars=PUBLISHED_EXEMPLARS,
                        streaming=True,
                    )  # fmt: skip
                except UserError as error:  # not installed, no device, no engine: each says what to do
                    absent.append(f"{name}: {first_line(error)}")
                    continue
                stack.enter_context(scorer)
                parts = ", ".join(f"{part} {kind}" for part, kind in scorer.backend.precision.items())
                opened.append(Candidate(name, f"{scorer.backend.provider}: {parts}", scorer, backend))
        if not opened:
            raise UserError(f"no backend runs {bundle.path} here: {'; '.join(absent)}")
        yield Candidates(tuple(opened), tuple(absent))


def candidate_name(backend: str, precision: str) -> str:
    """Name a backend with the precision of its graphs, or with bfloat16."""
    return "openvino bf16" if backend == BFLOAT16 else f"{backend} {precision}"
