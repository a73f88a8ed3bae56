"""Audit a checkpoint: which parts of a dive its scores depend on, and how far shortcuts come.

    python -m mcore.audit runs/first/best.pt --data dives/manifest.jsonl

It hides parts of test dives, moves single faults of drawn ones, and compares with shortcuts and perfect observers. It
prints tables and writes audit.json and audit.md. The exit code is 1 where hiding take-off and flight, or the diver,
costs less than 0.05 of SRCC: such a network does not watch the dive.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mcore.common.command_line import run_command_line
from mcore.common.optional import require_all
from mcore.devices.cpu import let_waiting_threads_sleep
from mcore.evaluation.config import AuditOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 1 where the network does not watch the dive."""
    let_waiting_threads_sleep()
    return run_command_line(AuditOptions, _run, prog="python -m mcore.audit", doc=__doc__, argv=argv)


def _run(options: AuditOptions) -> int:
    require_all("torch", extra="train", purpose="An audit")
    from mcore.evaluation.audit_report import report_audit
    from mcore.evaluation.audit_run import audit

    found = audit(options)
    report_audit(found, options)
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
