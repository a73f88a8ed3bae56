"""Files, commands and packages of the machine, each of which a test can replace."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from pathlib import Path

_TIMEOUT_S = 10.0


class Machine:
    """Files below a root, commands, and installed packages.

    Args:
        root: where ``/proc``, ``/sys``, ``/etc`` and ``/dev`` are.
    """

    def __init__(self, root: str | Path = "/") -> None:
        self.root = Path(root)

    def text(self, path: str) -> str:
        """A file's content without the zeros that device trees end in; empty where there is none."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").replace("\0", " ").strip()
        except OSError:
            return ""

    def paths(self, pattern: str) -> list[Path]:
        """Files that match a pattern below the root, in order."""
        return sorted(self.root.glob(pattern))

    def run(self, *command: str) -> str | None:
        """Return what a command prints; None: there is none of this name, or it fails or hangs."""
        if not self.has(command[0]):
            return None
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def has(self, command: str) -> bool:
        """Return whether there is a command of this name."""
        return shutil.which(command) is not None

    def version(self, package: str) -> str | None:
        """Version of an installed package; None: it is not there."""
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    @property
    def python(self) -> tuple[int, int, int]:
        """Python's version."""
        major, minor, patch = platform.python_version_tuple()
        return int(major), int(minor), int("".join(c for c in patch if c.isdigit()) or 0)

    @property
    def kernel(self) -> str:
        """The kernel's release, such as ``5.15.148-tegra``."""
        return platform.release()

    @property
    def architecture(self) -> str:
        """Such as ``x86_64`` or ``aarch64``."""
        return platform.machine()
