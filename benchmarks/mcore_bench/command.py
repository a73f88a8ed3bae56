"""Measure how fast and exact a bundle is here, what else could do its work, and what this machine could do at best.

    mcore-bench bundle
    mcore-bench bundle --checkpoint runs/first/best.pt --json result.json
    mcore-bench plain for-cpu                     (backbones of several bundles side by side)

With the bundle's checkpoint it also counts operations and measures peers: the published procedure, PyTorch eager and
compiled, plain exports, I3D. Candidates have their turns in the same rounds, so that ratios hold on a busy machine;
milliseconds do not.

Other benchmarks are commands of their own; mcore-bench COMMAND --help explains each:

    report           committed results as a page of Markdown
    variants         operations and parameters of other configurations
    pareto           accuracy of evaluated runs against their operations
    detector         dives that the detector finds in rendered meets
    soak             hours of a live session, as fast as the machine can
    reading          from a video file to frames of the network's size
    preprocessing    from a video frame to network input
    archive          dives an hour of one process and of several
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from mcore.common.command_line import run_command_line
from mcore_bench.cases.bundle import BenchArguments, bench

COMMANDS = {
    "report": ("mcore_bench.report", "ReportArguments", "report"),
    "variants": ("mcore_bench.cost", "VariantsArguments", "count_variants"),
    "pareto": ("mcore_bench.cases.pareto", "ParetoArguments", "compare_runs"),
    "detector": ("mcore_bench.cases.detector", "DetectorArguments", "measure_detector"),
    "soak": ("mcore_bench.cases.live", "SoakArguments", "measure_soak"),
    "reading": ("mcore_bench.cases.reading", "ReadingArguments", "measure_reading"),
    "archive": ("mcore_bench.cases.archive", "ArchiveArguments", "measure_archive"),
    "preprocessing": ("mcore_bench.cases.preprocessing", "PreprocessingArguments", "measure_preprocessing"),
}
"""Module, arguments and body of each command: imported when it is called, so that none needs another's packages."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-bench``; returns 0, 1 where a ratio is a regression, or 2 for a mistake."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or given[0] not in COMMANDS:
        return run_command_line(BenchArguments, bench, prog="mcore-bench", doc=__doc__, argv=given)
    name, arguments, body = COMMANDS[given[0]]
    module = importlib.import_module(name)
    kind, run, prog = getattr(module, arguments), getattr(module, body), f"mcore-bench {given[0]}"
    return run_command_line(kind, run, prog=prog, doc=kind.__doc__, argv=given[1:])


if __name__ == "__main__":
    sys.exit(main())
