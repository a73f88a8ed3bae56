"""Limits of parity: the most that the graphs of each precision may differ from PyTorch in float32.

They stand here only: flags of ``mcore-export`` replace single ones, and the manifest stores those that were used.
"""

from __future__ import annotations

from mcore_runtime.bundle.records import ParityLimits, Precision

DEFAULT_LIMITS: dict[Precision, ParityLimits] = {
    # Rounding alone moves features by 7e-4 where random weights amplify it, and by 1e-6 on trained ones; a wrong graph
    # is off by percents.
    "fp32": ParityLimits(relative=3e-3, points=0.01, flips=0.0, tie=1e-5, srcc=0.999),
    "fp16": ParityLimits(relative=0.03, points=0.1, flips=0.02, tie=2e-3, srcc=0.999),
    # Features may be far off, for what a coach sees is held tighter: scores, stages and ranks.
    "int8": ParityLimits(relative=0.5, points=0.5, flips=0.05, tie=2e-2, srcc=0.999),
}


def describe_defaults(name: str) -> str:
    """Return one limit's defaults for a command's help, such as ``fp32 0.01, fp16 0.1, int8 0.5``."""
    return ", ".join(f"{precision} {getattr(limits, name):g}" for precision, limits in DEFAULT_LIMITS.items())
