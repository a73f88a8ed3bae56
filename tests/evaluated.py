"""What an evaluation writes, made from any figures."""

from __future__ import annotations

from typing import Any

from mcore.evaluation.report import EvaluationSummary


def evaluation_summary(**given: Any) -> EvaluationSummary:
    """Settings and metrics of an evaluation of nine test dives, but for what is given."""
    usual: dict[str, Any] = {
        "checkpoint": "best.pt",
        "checkpoint_sha256": "c" * 64,
        "data": "list.jsonl",
        "data_sha256": "a" * 64,
        "split": "test",
        "num_exemplars": 10,
        "exemplars": "random",
        "decoding": "published",
        "seed": 0,
        "num_resamples": 2,
        "interval_level": 0.95,
        "checkpoint_epoch": 3,
        "num_dives": 9,
        "num_skipped": 0,
        "conformal_interval": None,
        "metrics": {},
    }
    return EvaluationSummary(**usual | given)
