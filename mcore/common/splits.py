"""Parts of a data set: training learns from one, validation chooses checkpoints, test is only reported."""

from __future__ import annotations

from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
