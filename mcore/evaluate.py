"""Evaluate a checkpoint on dives it has not seen, beside baselines that never look at the dive.

    python -m mcore.evaluate runs/first/best.pt --data manifest.jsonl

It prints a table, and writes metrics.json, predictions.csv, scatter.png and boundaries.png.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mcore.common.command_line import run_command_line
from mcore.common.optional import require_all
from mcore.devices.cpu import let_waiting_threads_sleep
from mcore.evaluation.config import EvaluationOptions
from mcore.evaluation.report import print_report


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, 2 with one line where torch is not installed."""
    let_waiting_threads_sleep()
    return run_command_line(EvaluationOptions, _run, prog="python -m mcore.evaluate", doc=__doc__, argv=argv)


def _run(options: EvaluationOptions) -> int:
    require_all("torch", "matplotlib.figure", extra="train", purpose="Evaluation")
    from mcore.evaluation.run import evaluate

    print_report(evaluate(options), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
