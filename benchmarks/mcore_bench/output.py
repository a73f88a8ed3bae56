"""Beginning and end of every benchmark's result: machine and command, then Markdown on the terminal and a file."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from mcore.common.errors import UserError
from mcore.data.cache_folder import check_folder
from mcore_bench.machine import read_environment
from mcore_bench.report import render
from mcore_bench.result import FORMAT, Result, write_result


@dataclass(frozen=True, kw_only=True)
class JsonFile:
    """The flag that every benchmark has."""

    json: Path | None = None
    """Write all figures to this .json file, which mcore-bench report reads."""

    def __post_init__(self) -> None:
        if self.json is not None:
            if self.json.suffix != ".json":
                raise UserError(f"--json writes to a file that ends in .json, got {str(self.json)!r}")
            check_folder(self.json.parent, "the folder of --json", f"choose another place for {self.json.name}")


def begin_result(title: str, *, threads: int = 0, malloc_trimming: bool = True) -> Result:
    """Return a result without figures; the date is now.

    Args:
        title: may contain ``{processor}``.
        threads: that engines get; 0: their own choice.
        malloc_trimming: whether the C library was left as it is.
    """
    environment = read_environment(threads, malloc_trimming=malloc_trimming)
    command = shlex.join(["mcore-bench", *sys.argv[1:]])
    return Result(FORMAT, title.format(processor=environment.processor), command, environment)


def finish_result(result: Result, path: Path | None) -> None:
    """Print a result as Markdown, and write it where that was asked for."""
    print("\n".join([f"# {result.title}", "", *render(result)]))
    if path is not None:
        write_result(path, result)
