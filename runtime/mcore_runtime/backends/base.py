"""Interface of inference backends: three graphs as three calls, and what really runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


BFLOAT16 = "openvino-bf16"
"""Name of the backend that computes the float32 backbone in bfloat16."""


class BackendError(UserError):
    """The backend that was asked for cannot run here, or would run elsewhere than asked."""


class Backend(Protocol):
    """Runs the three graphs of a network, one clip at a time.

    On a CPU threads may share it, and each gets its own results: OpenVINO's calls wait for each other behind a lock,
    ONNX Runtime's sessions run side by side. On a GPU (CUDA, TensorRT) it belongs to the thread that opened it, and
    refuses the others with a RuntimeError: inputs and outputs have fixed places there.

    Shapes: T frames, D features, K tokens a stage, three stages, E exemplars, c pixels.
    """

    @property
    def name(self) -> str:
        """Name by which ``--backend`` chooses it."""

    @property
    def provider(self) -> str:
        """The library's own name of what really runs the graphs, read back after they were loaded."""

    @property
    def precision(self) -> Mapping[str, str]:
        """Compute dtype of each part, such as ``{"backbone": "fp32"}``."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for people about the choice of this backend; usually empty."""

    def backbone(self, clip: FloatArray) -> FloatArray:
        """Turn a clip (1, 3, T, c, c), normalised RGB, into features (1, T, D)."""

    def segmenter(self, features: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
        """Turn features (1, T, D) into logits (1, T, 2), transitions (1, 2) and tokens (1, 3K, D)."""

    def regressor(self, query: FloatArray, exemplars: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compare tokens (1, 3K, D) with (E, 3K, D): delta (E,) and its shares by stage (E, 3), points."""

    def close(self) -> None:
        """Free the backend's memory; no call may follow."""


class NamedGraphsBackend(ABC):
    """The three calls of ``Backend`` for libraries that take and give arrays by the names in the graphs."""

    def backbone(self, clip: FloatArray) -> FloatArray:
        """Turn a clip (1, 3, T, c, c) into features (1, T, D)."""
        features: FloatArray = self._run("backbone", {"clip": clip}, ["features"])[0]
        return features

    def segmenter(self, features: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
        """Turn features (1, T, D) into logits (1, T, 2), transitions (1, 2) and tokens (1, 3K, D)."""
        logits, transitions, tokens = self._run(
            "segmenter", {"features": features}, ["logits", "transitions", "tokens"]
        )
        return logits, transitions, tokens

    def regressor(self, query: FloatArray, exemplars: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compare tokens (1, 3K, D) with (E, 3K, D): delta (E,) and its shares by stage (E, 3), points."""
        delta, stage_deltas = self._run(
            "regressor", {"query": query, "exemplars": exemplars}, ["delta", "stage_deltas"]
        )
        return delta, stage_deltas

    @abstractmethod
    def _run(self, part: str, inputs: dict[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Run one graph: arrays by name in, arrays in the order of ``outputs`` out."""
