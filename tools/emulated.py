"""Emulated aarch64 machine in a folder: QEMU, Debian's Python for arm64, the packages' wheels, our native code.

Packages are unpacked, never installed, so nothing of arm64 runs before all is there, and the host needs no binfmt.
``tools/aarch64.py`` runs its checks on it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path

from mcore.common.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"mmdebstrap": "mmdebstrap", "cmake": "cmake", "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu"}
"""Programs that the host needs, and Debian's packages of them."""
SUITE = "trixie"
"""Debian 13, the first with QEMU 10; QEMU 7.2 crashes when ONNX Runtime 1.30 or later is imported."""
PROCESSOR = "neoverse-n1"
"""Has what Jetson Orin's Cortex-A78AE has: ARMv8.2 with dot products and half precision, without SVE."""
SAME_VERSIONS = ("av", "numpy", "Pillow")
"""Taken in the host's versions, so that the processor is all that differs between the two."""
NEWEST_GLIBC = 41
"""Minor version of the suite's glibc: wheels for any from 2.17 on run."""


class NotPossibleHereError(UserError):
    """This host cannot make the machine: nothing was checked, and nothing is known to be wrong."""


@dataclass(frozen=True)
class EmulatedMachine:
    """A machine that is ready to run Python."""

    folder: Path
    """Everything of it, logs too."""

    @property
    def python(self) -> Path:
        """The emulated Python; a script of the host, so that emulated programs can start it too."""
        return self.folder / "python"

    def run(self, name: str, *arguments: object, onnxruntime: str = "", native: bool = True) -> str:
        """Run the emulated Python with the project's packages.

        Args:
            name: of the log.
            arguments: of Python.
            onnxruntime: a version that was given to ``make_machine``; "": the newest.
            native: whether the native code is used.

        Returns:
            Its standard output.

        Raises:
            UserError: it failed; ends with the last lines of what it said.
        """
        folders = [ROOT, ROOT / "export", ROOT / "runtime", self.folder / "native", self.folder / "wheels"]
        if onnxruntime:
            folders.insert(0, self._onnxruntime(onnxruntime))
        environment = {"PYTHONPATH": os.pathsep.join(map(str, folders)), "MCORE_NATIVE": "1" if native else "0"}
        return run(self.folder / "logs" / name, [self.python, *arguments], environment)

    def version(self, package: str, onnxruntime: str = "") -> str:
        """Version of an installed package."""
        folder = self._onnxruntime(onnxruntime) if onnxruntime else self.folder / "wheels"
        return next(d.version for d in distributions(name=package, path=[str(folder)]))

    def qemu_version(self) -> str:
        """Version of QEMU, such as 10.0.13."""
        return run(self.folder / "logs" / "qemu-version", [self.folder / "qemu-aarch64", "--version"]).split()[2]

    def _onnxruntime(self, version: str) -> Path:
        return self.folder / f"onnxruntime-{version}"


def check_host() -> None:
    """Raise ``NotPossibleHereError`` where the host is not x86-64 Linux, or lacks a program."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise NotPossibleHereError(f"emulation is for x86-64 Linux, and this is {platform.platform()}")
    if missing := [package for program, package in PROGRAMS.items() if shutil.which(program) is None]:
        raise NotPossibleHereError(f"programs are missing; install them with: apt-get install {' '.join(missing)}")


def make_machine(folder: Path, requirements: Sequence[str], onnxruntimes: Sequence[str]) -> EmulatedMachine:
    """Make the machine, or what is missing of it, and build the native code of today.

    Args:
        folder: absolute; kept from one run to the next.
        requirements: packages to install, ONNX Runtime and what builds the native code among them.
        onnxruntimes: other versions of ONNX Runtime, such as 1.23.

    Raises:
        NotPossibleHereError: Debian's packages cannot be downloaded or unpacked here.
        UserError: a package has no wheel for aarch64, or the native code cannot be built for it.
    """
    machine = EmulatedMachine(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not machine.python.exists():
        _unpack_debian(machine)
    _install_wheels(machine, "wheels", [*requirements, *(f"{name}=={version(name)}" for name in SAME_VERSIONS)])
    for onnxruntime in onnxruntimes:
        _install_wheels(machine, f"onnxruntime-{onnxruntime}", [f"onnxruntime=={onnxruntime}.*"], "--no-deps")
    _build_native_code(machine)
    frames = machine.run("native-code", "-c", "from mcore.video import native; print(native.describe())").strip()
    if not frames.startswith("native code"):
        raise UserError(f"the native code was built for aarch64, and is not used there: {frames}")
    return machine


def run(log: Path, command: Sequence[object], environment: Mapping[str, str] | None = None) -> str:
    """Run a program in the repository and keep what it says in a log.

    Raises:
        UserError: it failed; ends with the last lines of what it said.
    """
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-8:]
        raise UserError("\n  ".join([f"{log.name} failed with exit code {done.returncode} ({log}):", *last]))
    return done.stdout


def _unpack_debian(machine: EmulatedMachine) -> None:
    folder, root, tools = machine.folder, machine.folder / "root", machine.folder / "qemu"
    for target, architecture, packages in (
        (root, "arm64", "python3,libpython3-dev,libstdc++6"),
        (tools, "amd64", "qemu-user"),
    ):
        shutil.rmtree(target, ignore_errors=True)  # of a run that was interrupted
        options = ["--quiet", "--variant=extract", f"--architectures={architecture}", f"--include={packages}"]
        try:
            run(folder / "logs" / f"debian-{architecture}", ["mmdebstrap", *options, SUITE, target])
        except UserError as error:
            raise NotPossibleHereError(f"Debian's packages cannot be unpacked here: {error}") from error
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")  # belongs to a package that is not there; the loader's path leads over it
    shutil.copy2(tools / "usr" / "bin" / "qemu-aarch64", folder)
    shutil.rmtree(tools)  # 450 MB for other processors
    # Python finds its own files by the path it was started with, which is that of this script: hence PYTHONHOME.
    machine.python.write_text(
        "#!/bin/sh\n"
        f"exec '{folder}/qemu-aarch64' -L '{root}' -cpu {PROCESSOR} -0 \"$0\" -E PYTHONHOME='{root}/usr' "
        f"'{root}/usr/bin/python3' \"$@\"\n"
    )
    machine.python.chmod(0o755)


def _install_wheels(machine: EmulatedMachine, name: str, requirements: Sequence[str], *options: str) -> None:
    """Install packages into a folder, unless the same are in it; pip takes wheels only, and runs on the host."""
    target, wanted = machine.folder / name, "\n".join(requirements)
    done = target / "requirements.txt"
    if done.exists() and done.read_text() == wanted:
        return
    shutil.rmtree(target, ignore_errors=True)
    python = run(machine.folder / "logs" / "python-version", [machine.python, "--version"]).split()[1]
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, NEWEST_GLIBC + 1)]
    for_aarch64 = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *platforms]
    command = [sys.executable, "-m", "pip", "install", f"--target={target}", *for_aarch64, *options, *requirements]
    run(machine.folder / "logs" / name, [*command, "--platform=manylinux2014_aarch64"])
    done.write_text(wanted)


def _build_native_code(machine: EmulatedMachine) -> None:
    folder, logs = machine.folder / "native", machine.folder / "logs"
    paths = run(
        logs / "headers", [machine.python, "-c", "import sysconfig; print(sysconfig.get_path('include'))"]
    ).strip()
    # Python's headers include those of the architecture by name. The root's other headers are of another glibc than
    # the compiler's, and must stay out.
    include = machine.folder / "include"
    include.mkdir(exist_ok=True)
    if not (include / "aarch64-linux-gnu").exists():
        (include / "aarch64-linux-gnu").symlink_to(Path(paths).parent / "aarch64-linux-gnu")
    options = {
        "CMAKE_SYSTEM_NAME": "Linux",
        "CMAKE_SYSTEM_PROCESSOR": "aarch64",
        "CMAKE_CXX_COMPILER": "aarch64-linux-gnu-g++",
        "CMAKE_CXX_FLAGS": f"-isystem {include}",
        "CMAKE_MODULE_LINKER_FLAGS": "-static-libstdc++ -static-libgcc",  # the host's may be newer than the root's
        "Python_EXECUTABLE": machine.python,
        "Python_INCLUDE_DIR": paths,
    }
    environment = {"PYTHONPATH": str(machine.folder / "wheels")}  # has nanobind
    flags = [f"-D{name}={value}" for name, value in options.items()]
    run(logs / "configure", ["cmake", "-S", ROOT, "-B", folder, *flags], environment)
    run(logs / "build", ["cmake", "--build", folder, "--parallel", os.cpu_count() or 1], environment)
