"""Learning rate over a training: a warm-up, then constant as published, or a half cosine to zero."""

from __future__ import annotations

import math

from mcore.training.config import TrainingConfig


def learning_rate_factor(config: TrainingConfig, step: int, total_steps: int) -> float:
    """Learning rate at a step, as a share of its highest value.

    Args:
        config: ``schedule`` and ``warmup_steps``.
        step: optimiser steps made so far, 0..total_steps - 1.
        total_steps: steps of the whole training.
    """
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return 1.0
    progress = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
