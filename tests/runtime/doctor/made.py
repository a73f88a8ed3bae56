"""Machines made of files and of what commands would print."""

from __future__ import annotations

from pathlib import Path

from mcore_runtime.doctor.findings import Finding
from mcore_runtime.doctor.machine import Machine


class Made(Machine):
    """A machine of given files, commands and packages.

    Its kernel is that of no Jetson, unless a test sets it.

    Args:
        root: where the files are written.
        files: contents by path.
        commands: what they print, by the beginning of the command.
        packages: versions by name.
    """

    def __init__(
        self,
        root: Path,
        files: dict[str, str] | None = None,
        commands: dict[str, str] | None = None,
        packages: dict[str, str] | None = None,
    ) -> None:
        super().__init__(root)
        self.commands, self.packages = commands or {}, packages or {}
        for name, content in (files or {}).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    kernel = "6.8.0-49-generic"

    def has(self, command: str) -> bool:
        return any(said.partition(" ")[0] == command for said in self.commands)

    def run(self, *command: str) -> str | None:
        line = " ".join(command)
        return next((printed for said, printed in self.commands.items() if line.startswith(said)), None)

    def version(self, package: str) -> str | None:
        return self.packages.get(package)


def of_level(findings: list[Finding], level: str) -> list[str]:
    """Texts of the findings of one level."""
    return [finding.text for finding in findings if finding.level == level]
