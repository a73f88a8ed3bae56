"""Resolution of every row of the README's install table, for x86-64 and ARM, with Python 3.10 and 3.12.

    pip install uv
    python tools/check_installs.py --write docs/results/installs.md

Nothing is installed; the package index of this machine is asked what pip would take there. It takes minutes, so
``make test`` does not run it: run it when the extras have changed. Exit code 1: a row has no solution, has one where
none was expected, or gives a Jetson what is not made for it.
"""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.progress import progress_bar

ROOT = Path(__file__).parents[1]
TARGETS = tuple((machine, python) for machine in ("x86_64", "aarch64") for python in ("3.10", "3.12"))
"""Ubuntu 22.04 and JetPack 6 have Python 3.10, Ubuntu 24.04 and JetPack 7 have 3.12."""
GLIBC = "manylinux_2_35"
"""That of Ubuntu 22.04, the oldest of them."""
WITHOUT_SOLUTION = {("gpu", "aarch64", "3.10")}
"""onnxruntime-gpu has wheels for ARM from Python 3.11 on."""
JETSON = "jetson"
"""This extra is resolved for ARM only, and its result is checked."""
NOT_FOR_JETSONS = ("onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13", "pycuda")
CUDA_PYTHON_MAJOR = {"3.10": 12, "3.12": 13}
"""Of JetPack 6 and 7, whose drivers allow no newer one."""
SHOWN = ("av", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "tensorrt", "tensorrt-rtx-cu13")
SHOWN_TOO = ("cuda-python", "pycuda")
_TIMEOUT_S = 300.0
_HEAD = """# What the install table installs

Written by `python tools/check_installs.py` on {today}: what pip takes for each row of the README's table, with
glibc {glibc}, from the usual index. Nothing was installed, and nothing was run.
This project itself is compiled in each case. *MB* is the download of the rest, without what TensorRT's sources
fetch from the vendor while they are built. A Jetson gets nothing from the extras `gpu`, `tensorrt` and `rtx`: their
ARM rows are for other machines.

| extras | machine | Python | versions | MB | without a wheel |
| --- | --- | --- | --- | ---: | --- |"""


@dataclass(frozen=True)
class Options:
    """Resolve every row of the install table."""

    write: Path | None = None
    """Markdown file for the result; the table is always printed."""


@dataclass(frozen=True)
class Resolved:
    """One row on one machine."""

    extras: tuple[str, ...]
    machine: str
    python: str
    versions: dict[str, str] | None
    """Packages and their versions; None: there is no solution."""
    without_wheel: tuple[str, ...] = ()
    """Packages that pip builds there; some of them fetch the vendor's libraries while they are built."""
    megabytes: float = 0.0
    """To download."""

    def faults(self) -> Iterator[str]:
        """What is other than the install table promises."""
        name = f"{','.join(self.extras)} on {self.machine} with Python {self.python}"
        expected = (",".join(self.extras), self.machine, self.python) not in WITHOUT_SOLUTION
        if (self.versions is not None) is not expected:
            yield f"{name}: {'no solution' if expected else 'has a solution now'}"
        if self.versions is None or JETSON not in self.extras:
            return
        yield from (f"{name}: {package} is not for Jetsons" for package in NOT_FOR_JETSONS if package in self.versions)
        major = self.versions.get("cuda-python", "none").partition(".")[0]
        if major != str(CUDA_PYTHON_MAJOR[self.python]):
            yield f"{name}: cuda-python {major}, whose driver is another"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/check_installs.py``."""
    return run_command_line(Options, _run, prog="check_installs.py", doc=__doc__, argv=argv)


def _run(options: Options) -> int:
    rows = [(extras, *target) for extras in install_rows() for target in TARGETS]
    rows = [row for row in rows if JETSON not in row[0] or row[1] == "aarch64"]
    found = []
    with progress_bar("resolving", len(rows)) as on_row:
        for extras, machine, python in rows:
            found.append(resolve(extras, machine, python))
            on_row()
    text = "\n".join(describe(found)) + "\n"
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")
    print(text, end="")
    faults = [fault for row in found for fault in row.faults()]
    for fault in faults:
        print(f"wrong: {fault}", file=sys.stderr)
    return 1 if faults else 0


def install_rows() -> list[tuple[str, ...]]:
    """The extras of each command in the README's install table, in its order."""
    _, _, section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Install\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [tuple(extras.split(",")) for line in lines for extras in re.findall(r"'\.\[([\w,]+)\]'", line)]


def resolve(extras: Sequence[str], machine: str, python: str) -> Resolved:
    """Ask what pip would install there.

    Raises:
        UserError: uv is not installed, or fails otherwise than for want of a solution.
    """
    uv = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    if uv is None:
        raise UserError("uv is not installed; pip install uv")
    flags = [flag for extra in extras for flag in ("--extra", extra)]
    target = ["--python-version", python, "--python-platform", f"{machine}-{GLIBC}", "--format", "pylock.toml"]
    command = [uv, "pip", "compile", "--quiet", "--no-header", *target, *flags, str(ROOT / "pyproject.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        if "No solution found" in done.stderr:
            return Resolved(tuple(extras), machine, python, None)
        raise UserError(f"uv failed for {','.join(extras)} on {machine}: {done.stderr.strip()[-500:]}")
    return read_lock(done.stdout, tuple(extras), machine, python)


def read_lock(text: str, extras: tuple[str, ...], machine: str, python: str) -> Resolved:
    """Read uv's lock file, in which a package that fits has wheels, and one to be built has only a source."""
    versions, without_wheel, megabytes = {}, [], 0.0
    for package in text.split("[[packages]]")[1:]:  # Python 3.10 has no reader of TOML
        name, version = (re.search(rf'^{key} = "(.+)"', package, re.M) for key in ("name", "version"))
        if name is None or version is None:
            continue
        versions[name[1]] = version[1]
        _, is_wheel, wheels = package.partition("\nwheels = [")
        if not is_wheel:
            without_wheel.append(name[1])
        size = re.search(r"size = (\d+)", wheels if is_wheel else package)
        megabytes += int(size[1]) / 1e6 if size is not None else 0.0
    return Resolved(extras, machine, python, versions, tuple(without_wheel), megabytes)


def describe(found: Sequence[Resolved]) -> Iterator[str]:
    """Lines of the page."""
    yield from _HEAD.format(
        today=datetime.date.today(), glibc=GLIBC.removeprefix("manylinux_").replace("_", ".")
    ).split("\n")
    for row in found:
        where = f"| `{','.join(row.extras)}` | {row.machine} | {row.python} |"
        if row.versions is None:
            yield f"{where} **no solution** | | |"
            continue
        shown = [f"{name} {row.versions[name]}" for name in (*SHOWN, *SHOWN_TOO) if name in row.versions]
        yield f"{where} {', '.join(shown)} | {row.megabytes:.0f} | {', '.join(row.without_wheel)} |"


if __name__ == "__main__":
    sys.exit(main())
