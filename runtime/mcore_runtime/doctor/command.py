"""Look at this machine: what it has, what a bundle and a source need, and what to do about the difference.

    mcore-doctor
    mcore-doctor --bundle bundle --source rtsp://camera/stream
    mcore-doctor --bundle bundle --json > doctor.json              # for somebody who helps from afar

Nothing is changed. Exit code: 0 when all is well, 1 when something will not work, 2 for a mistake in the command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import mcore
from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.printable import printable_message
from mcore.common.typed_json import encode
from mcore_runtime.backends import BACKENDS
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.doctor import bundles, hardware, jetson, software, sources
from mcore_runtime.doctor.child_process import in_child
from mcore_runtime.doctor.findings import Finding, Level, error, split_advice
from mcore_runtime.doctor.machine import Machine
from mcore_runtime.sources import parse_source

Probe = Callable[[], list[Finding]]
_SIGNS = {
    Level.OK: ("ok", "green"),
    Level.ABSENT: ("-", "dim"),
    Level.HINT: ("hint", "yellow"),
    Level.ERROR: ("ERROR", "bold red"),
}


@dataclass(frozen=True)
class DoctorArguments:
    """Look at this machine, and at what a bundle and a source need."""

    bundle: Path | None = None
    """Folder made by mcore-export: is it whole, and which backends run it here?"""
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
    return run_command_line(DoctorArguments, _run, prog="mcore-doctor", doc=__doc__, argv=argv)


def _run(arguments: DoctorArguments) -> int:
    findings = list(examine(probes(arguments, Machine())))
    if arguments.json:
        rows = [{"topic": topic, **asdict(finding)} for topic, finding in findings]
        print(encode({"mcore-edge": mcore.__version__, "findings": rows}, indent=2))
    else:
        show(Console(highlight=False), findings)
    return 1 if any(finding.level is Level.ERROR for _, finding in findings) else 0


def probes(arguments: DoctorArguments, machine: Machine) -> list[tuple[str, Probe]]:
    """Return what is looked at, with its topic; what loads libraries and drivers, in a process of its own."""
    found: list[tuple[str, Probe]] = [
        ("system", partial(hardware.system, machine)),
        ("board", partial(jetson.board, machine)),
        ("gpu", partial(hardware.gpu, machine)),
        ("gpu", partial(in_child, "cuda")),
        ("packages", partial(software.packages, machine)),
        ("video", partial(in_child, "video")),
        ("video", partial(in_child, "gstreamer")),
        ("cameras", partial(sources.cameras, machine)),
        ("clocks", partial(hardware.clocks, machine)),
        ("disk", partial(in_child, "disk", folder=str(arguments.folder))),  # one across a network may hang
    ]
    backends = [name for name in BACKENDS if name != "auto"]
    if arguments.bundle is None:
        found += [("backends", partial(in_child, "library", backend=name)) for name in backends]
    else:
        found += _of_bundle(arguments.bundle, backends)
    if arguments.source is not None:
        found.append(("source", partial(in_child, "source", address=arguments.source)))
    return found


def _of_bundle(folder: Path, backends: Sequence[str]) -> list[tuple[str, Probe]]:
    """The bundle itself; and if it is whole, each backend with it."""
    try:
        Bundle.open(folder)
    except UserError as refused:
        reason = str(refused)
        return [("bundle", lambda: [error(*split_advice(reason))])]
    path = str(folder)
    tried = [("backends", partial(in_child, "trial", path=path, backend=name)) for name in backends]
    return [
        ("bundle", partial(bundles.bundle, folder)),
        *tried,
        ("backends", partial(in_child, "automatic_choice", path=path)),
    ]


def examine(probes: Sequence[tuple[str, Probe]]) -> Iterator[tuple[str, Finding]]:
    """Run every probe; one that fails is itself a finding, and the others go on."""
    for topic, probe in probes:
        try:
            found = probe()
        except Exception as failed:  # a fault of a driver's or of ours must not hide the rest
            found = [error(f"could not be looked at: {type(failed).__name__}: {failed}")]
        yield from ((topic, finding) for finding in found)


def show(console: Console, findings: Sequence[tuple[str, Finding]]) -> None:
    """Print a table, and what to do beneath each finding."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    last_topic = ""
    for topic, finding in findings:
        sign, style = _SIGNS[finding.level]
        remedy = [Padding(Text(f"-> {finding.remedy}", style="cyan"), (0, 0, 0, 2))] if finding.remedy else []
        text = Group(Text(printable_message(finding.text)), *remedy)
        table.add_row("" if topic == last_topic else topic, Text(sign, style=style), text)
        last_topic = topic
    console.print(table)
    errors, hints = (sum(finding.level is level for _, finding in findings) for level in (Level.ERROR, Level.HINT))
    console.print(f"{errors} that will not work, {hints} to look at" if errors + hints else "all is well")


if __name__ == "__main__":
    sys.exit(main())
