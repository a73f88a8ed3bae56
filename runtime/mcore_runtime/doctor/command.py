"""Look at this machine: what it has, what a bundle and a source need, and what to do about the difference.

    mcore-doctor
    mcore-doctor --bundle bundle --source rtsp://camera/stream
    mcore-doctor --bundle bundle --json > doctor.json              # for somebody who helps from afar

Nothing is changed. Exit code: 0 when all is well, 1 when something will not work, 2 for a mistake in the command.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

import mcore
from mcore.cli_help import description
from mcore.errors import run_command
from mcore_runtime.doctor import hardware, software, work
from mcore_runtime.doctor.findings import Finding, trouble
from mcore_runtime.doctor.machine import Machine
from mcore_runtime.sources import parse_source

Probe = Callable[[], list[Finding]]
PATIENCE_S = 60.0
"""A probe that takes longer is given up: a camera or a driver can hang within the operating system."""
_SIGNS = {"ok": ("ok", "green"), "absent": ("-", "dim"), "hint": ("hint", "yellow"), "trouble": ("TROUBLE", "bold red")}


@dataclass(frozen=True)
class DoctorArguments:
    """Look at this machine, and at what a bundle and a source need."""

    bundle: Path | None = None
    """Folder made by mcore-export: is it whole, and which engines run it here?"""
    source: str | None = None
    """Address as for mcore-run: do frames come, and how fast?"""
    folder: Path = Path()
    """Where sessions are to be kept: is there room, and how fast is the disk?"""
    json: bool = False
    """All findings as JSON on standard output."""

    def __post_init__(self) -> None:
        if self.source is not None:
            parse_source(self.source)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(
        lambda: _run(
            tyro.cli(
                DoctorArguments,
                prog="mcore-doctor",
                args=argv,
                config=(tyro.conf.FlagCreatePairsOff,),
                description=description(__doc__),
            )
        )
    )


def _run(arguments: DoctorArguments) -> int:
    findings = list(examine(probes(arguments, Machine())))
    if arguments.json:
        document = {"mcore-edge": mcore.__version__, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(document, indent=2))
    else:
        show(Console(highlight=False), findings)
    return 1 if any(finding.level == "trouble" for finding in findings) else 0


def probes(arguments: DoctorArguments, machine: Machine) -> dict[str, Probe]:
    """What is looked at, by topic."""
    found: dict[str, Probe] = {
        "system": lambda: hardware.system(machine),
        "board": lambda: hardware.board(machine),
        "gpu": lambda: hardware.gpu(machine),
        "packages": lambda: software.packages(machine),
        "video": lambda: software.video(machine),
        "cameras": lambda: hardware.cameras(machine),
        "clocks": lambda: hardware.clocks(machine),
        "disk": lambda: hardware.disk(arguments.folder),
    }
    if arguments.bundle is not None:
        path = arguments.bundle
        found["bundle"] = lambda: work.bundle(path)
    if arguments.source is not None:
        address = arguments.source
        found["source"] = lambda: work.source(address)
    return found


def examine(probes: dict[str, Probe], *, patience_s: float = PATIENCE_S) -> Iterator[Finding]:
    """Run every probe; one that fails or hangs is itself a finding, and the others go on."""
    for topic, probe in probes.items():
        outcome: list[list[Finding]] = []

        def attempt(topic: str = topic, probe: Probe = probe, outcome: list[list[Finding]] = outcome) -> None:
            try:
                outcome.append(probe())
            except Exception as error:  # a fault of a driver's or of ours must not hide the rest
                outcome.append([trouble(topic, f"could not be looked at: {type(error).__name__}: {error}")])

        thread = threading.Thread(target=attempt, daemon=True, name=f"doctor {topic}")
        thread.start()
        thread.join(patience_s)
        yield from outcome[0] if outcome else [trouble(topic, f"did not answer within {patience_s:.0f} s")]


def show(console: Console, findings: Sequence[Finding]) -> None:
    """Print a table, and what to do beneath each finding."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    topic = None
    for finding in findings:
        sign, style = _SIGNS[finding.level]
        text = Text(finding.text)
        if finding.remedy:
            text.append(f"\n  -> {finding.remedy}", style="cyan")
        table.add_row("" if finding.topic == topic else finding.topic, Text(sign, style=style), text)
        topic = finding.topic
    console.print(table)
    troubles, hints = (sum(finding.level == level for finding in findings) for level in ("trouble", "hint"))
    console.print(f"{troubles} that will not work, {hints} to look at" if troubles + hints else "all is well")


if __name__ == "__main__":
    sys.exit(main())
