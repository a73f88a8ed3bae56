"""Help texts of all commands, as the site shows them and as the tests of the documentation check flags against.

MkDocs loads this file as a hook (``mkdocs.yml``). In a page, ``<!-- help of all scripts -->`` becomes one section for
each command of ``pyproject.toml``, and ``<!-- help: python -m mcore.train -->`` becomes that module's help. Links to
files of the repository that the site does not hold become plain text.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parents[1]
COLUMNS = "80"
"""Width of the help texts: what fits into a page of the site on a desktop."""
_MARKER = re.compile(r"<!-- help(?:: (?P<command>[^>]+?)| of all scripts) -->")
_RELATIVE_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)\s]*)\)")
_LIST = re.compile(r"\bcommands\b[^:]*:\n")
_LISTED = re.compile(r"^ {2,4}([a-z][a-z-]*) {2,}\S", re.MULTILINE)
_SCRIPT = re.compile(r'^([\w-]+) = "([\w.:]+)"$', re.MULTILINE)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Expand the markers of a page, and drop its links out of the site; MkDocs calls this for each page."""
    folder = posixpath.dirname(page.file.src_uri)
    inside = _RELATIVE_LINK.sub(lambda link: link[1] if leaves_site(folder, link[2]) else link[0], markdown)
    return _MARKER.sub(lambda found: _expand(found["command"]), inside)


def leaves_site(folder: str, target: str) -> bool:
    """Return whether a relative link of a page leads out of ``docs/``, to another file of the repository.

    Args:
        folder: of the page, below ``docs/``.
        target: of the link.
    """
    return posixpath.normpath(posixpath.join(folder, target)).startswith("..")


def scripts() -> dict[str, str]:
    """Return the entry point of each console script, by the script's name."""
    # Python 3.10 has no reader of TOML, and these lines need none.
    _, _, following = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.scripts]\n")
    return dict(_SCRIPT.findall(following.partition("\n[")[0]))


@functools.cache
def help_of(command: str, subcommand: str | None = None) -> str:
    """Return what a command prints for ``--help``.

    Args:
        command: a script such as ``mcore-score``, or ``python -m`` and a module.
        subcommand: first word of a command that has several.

    Raises:
        KeyError: there is no such script.
        ModuleNotFoundError: there is no such module.
    """
    printed = io.StringIO()
    words = [*([subcommand] if subcommand else []), "--help"]
    with (
        mock.patch.dict(os.environ, COLUMNS=COLUMNS, NO_COLOR="1"),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        _main_of(command)(words)
    return printed.getvalue().strip()


def subcommands(command: str) -> list[str]:
    """Return the words that a command takes as its first one; empty for a command with one job."""
    text = help_of(command)
    return _LISTED.findall(text, found.end()) if (found := _LIST.search(text)) else []


def _main_of(command: str) -> Callable[[list[str]], int]:
    if command.startswith("python -m "):
        name, function = command.removeprefix("python -m "), "main"
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):  # a package: what python -m runs is its __main__
            module = importlib.import_module(f"{name}.__main__")
    else:
        name, _, function = scripts()[command].partition(":")
        module = importlib.import_module(name)
    main: Callable[[list[str]], int] = getattr(module, function)
    return main


def _expand(command: str | None) -> str:
    if command is not None:
        return _fenced(help_of(command))
    return "\n\n".join(_section(name) for name in scripts())


def _section(command: str) -> str:
    parts = [f"## {command}", _fenced(help_of(command))]
    for name in subcommands(command):
        parts += [f"### {command} {name}", _fenced(help_of(command, name))]
    return "\n\n".join(parts)


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```"
