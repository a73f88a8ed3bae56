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
from functools import partial
from pathlib import Path

import tyro
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import mcore
from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore_runtime.backends import BACKENDS
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.doctor import cameras, disk, hardware, jetson, software, work
from mcore_runtime.doctor.children import PATIENCE_S, in_child
from mcore_runtime.doctor.findings import Finding, split_advice, trouble
from mcore_runtime.doctor.machine import Machine
from mcore_runtime.sources import parse_source

Probe = Callable[[], list[Finding]]
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


def probes(arguments: DoctorArguments, machine: Machine) -> list[tuple[str, Probe]]:
    """What is looked at, with its topic; what loads libraries and drivers, in a process of its own."""
    found: list[tuple[str, Probe]] = [
        ("system", lambda: hardware.system(machine)),
        ("board", lambda: jetson.board(machine)),
        ("gpu", lambda: hardware.gpu(machine)),
        ("gpu", lambda: in_child("gpu", "cuda")),
        ("packages", lambda: software.packages(machine)),
        ("video", lambda: in_child("video", "video")),
        ("video", lambda: in_child("video", "gstreamer")),
        ("cameras", lambda: cameras.cameras(machine)),
        ("clocks", lambda: hardware.clocks(machine)),
        ("disk", lambda: disk.disk(machine, arguments.folder)),
    ]
    backends = [name for name in BACKENDS if name != "auto"]
    if arguments.bundle is None:
        found += [("engines", partial(in_child, "engines", "library", backend=name)) for name in backends]
    else:
        found += _of_bundle(arguments.bundle, backends)
    if arguments.source is not None:
        found.append(("source", partial(in_child, "source", "source", address=arguments.source)))
    return found


def _of_bundle(folder: Path, backends: Sequence[str]) -> list[tuple[str, Probe]]:
    """The bundle itself; and if it is whole, each engine with it."""
    try:
        Bundle.open(folder)
    except UserError as error:
        reason = str(error)
        return [("bundle", lambda: [trouble("bundle", *split_advice(reason))])]
    path = str(folder)
    tried = [("engines", partial(in_child, "engines", "trial", path=path, backend=name)) for name in backends]
    return [
        ("bundle", lambda: work.bundle(folder)),
        *tried,
        ("engines", partial(in_child, "engines", "chosen", path=path)),
    ]


def examine(probes: Sequence[tuple[str, Probe]], *, patience_s: float = PATIENCE_S + 5.0) -> Iterator[Finding]:
    """Run every probe; one that fails or hangs is itself a finding, and the others go on."""
    for topic, probe in probes:
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
        remedy = [Padding(Text(f"-> {finding.remedy}", style="cyan"), (0, 0, 0, 2))] if finding.remedy else []
        told = Group(Text(finding.text), *remedy)
        table.add_row("" if finding.topic == topic else finding.topic, Text(sign, style=style), told)
        topic = finding.topic
    console.print(table)
    troubles, hints = (sum(finding.level == level for finding in findings) for level in ("trouble", "hint"))
    console.print(f"{troubles} that will not work, {hints} to look at" if troubles + hints else "all is well")


if __name__ == "__main__":
    sys.exit(main())
