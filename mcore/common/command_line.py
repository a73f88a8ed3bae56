"""Command lines from frozen dataclasses: flags by tyro, help as prose, ``--version``, exit codes.

def main(argv: Sequence[str] | None = None) -> int:
return run_command_line(Arguments, score, prog="mcore-score", doc=__doc__, argv=argv)
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import tyro

import mcore
from mcore.common.errors import run_command

Arguments = TypeVar("Arguments")
_CONFIG = (tyro.conf.FlagCreatePairsOff,)
"""``--fast`` or ``--no-fast``, whichever changes something, never both."""
_MAX_WIDTH = 110
"""Columns of a help text: longer lines are hard to read."""
_COLUMN = 26
"""Column at which explanations of flags begin."""


def run_command_line(
    arguments: type[Arguments],
    run: Callable[[Arguments], int],
    *,
    prog: str,
    doc: str | None,
    argv: Sequence[str] | None = None,
    default: Arguments | None = None,
) -> int:
    """Parse a command line, run its body, and turn errors into exit codes.

    Args:
        arguments: frozen dataclass; its fields' docstrings are the help, its ``__post_init__`` refuses mistakes.
        run: the body; returns the exit code of a run that went through.
        prog: name of the command as it is typed.
        doc: the module's docstring; its indented lines are examples and stay as they are.
        argv: arguments; None: those of the process.
        default: values of the flags that are not given, such as a preset's; None: the fields' own.

    Returns:
        See ``mcore.common.errors.run_command``. ``--help``, ``--version`` and unknown flags leave by SystemExit.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    if _asks_for(given, "--version"):
        _leave(f"{prog} {mcore.__version__}\n")
    if _asks_for(given, "-h", "--help"):
        _leave(help_text(arguments, prog=prog, doc=doc, default=default))
    keywords: dict[str, Any] = {} if default is None else {"default": default}
    return run_command(lambda: run(tyro.cli(arguments, prog=prog, args=given, config=_CONFIG, **keywords)))


def run_subcommand(
    commands: Mapping[str, tuple[Any, Callable[[Any], int]]],
    *,
    prog: str,
    doc: str | None,
    argv: Sequence[str] | None = None,
) -> int:
    """Like ``run_command_line``, for a command of several: the first word says which.

    Args:
        commands: dataclass and body of each, by name; a dataclass' docstring explains its command.
        prog: name of the whole command as it is typed.
        doc: the module's docstring.
        argv: arguments; None: those of the process.

    Returns:
        As ``run_command_line``; an unknown word leaves by SystemExit with code 2.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    name = given[0] if given else "--help"
    if name in commands:
        arguments, run = commands[name]
        return run_command_line(arguments, run, prog=f"{prog} {name}", doc=arguments.__doc__, argv=given[1:])
    if name == "--version":
        _leave(f"{prog} {mcore.__version__}\n")
    if name in ("-h", "--help"):
        width = _width()
        rows = [
            _row(name, _sentence((kind.__doc__ or "").partition("\n\n")[0]), width)
            for name, (kind, _) in commands.items()
        ]
        listed = "\n".join(["commands:", *rows])
        _leave("\n\n".join([f"usage: {prog} COMMAND [OPTIONS]", prose(doc, width), listed]) + "\n")
    print(f"error: {prog} has no command {name!r}; allowed: {', '.join(commands)}", file=sys.stderr)
    raise SystemExit(2)


def help_text(arguments: type[Any], *, prog: str, doc: str | None, default: Any = None) -> str:
    """Return the help of a command, wrapped to the terminal's width."""
    keywords: dict[str, Any] = {} if default is None else {"default": default}
    with warnings.catch_warnings():
        # tyro's own help cannot leave out {None}| and (default: None); its parser can be formatted otherwise.
        warnings.simplefilter("ignore", DeprecationWarning)
        made = tyro.extras.get_parser(arguments, prog=prog, config=_CONFIG, **keywords)
    parser, width = cast("argparse.ArgumentParser", made), _width()
    positional, groups = [], []
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        positional += [_name(action) for action in actions if not action.option_strings]
        if actions:
            title = "arguments" if group.title == "positional arguments" else group.title
            groups.append("\n".join([f"{title}:", *(_row(_name(a), _sentence(a.help), width) for a in actions)]))
    usage = textwrap.fill(" ".join(["usage:", prog, "[OPTIONS]", *positional]), width, subsequent_indent="    ")
    return "\n\n".join([usage, prose(doc, width), *groups]) + "\n"


def prose(docstring: str | None, width: int) -> str:
    """Wrap a docstring's paragraphs; indented lines are examples and stay as they are."""
    blocks: list[str] = []
    paragraph: list[str] = []
    first, _, rest = (docstring or "").replace("``", "").partition("\n")
    for line in [first.strip(), *textwrap.dedent(rest).rstrip().splitlines(), ""]:
        is_example = line.startswith("    ")
        if line.strip() and not is_example:
            paragraph.append(line.strip())
            continue
        if paragraph:
            blocks.append(textwrap.fill(" ".join(paragraph), width))
            paragraph = []
        blocks.append(line.rstrip())
    return "\n".join(blocks).strip("\n")


def _asks_for(given: Sequence[str], *flags: str) -> bool:
    """Return whether a flag stands before ``--``; what follows that belongs to another command."""
    own = given[: given.index("--")] if "--" in given else given
    return bool(set(flags) & set(own))


def _leave(text: str) -> None:
    sys.stdout.write(text)
    raise SystemExit(0)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, _MAX_WIDTH)


def _name(action: argparse.Action) -> str:
    """Return what to type: ``--dive STR``, or the name of a positional argument."""
    if not action.option_strings:
        name = action.dest.rsplit(".", 1)[-1].upper().replace("-", "_")
        return {"*": f"[{name} ...]", "?": f"[{name}]"}.get(str(action.nargs), name)
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    metavar = metavar.replace("{None}|", "").replace("{None,", "{")
    metavar = re.sub(r"^\[+(\S+?) \[.*$", r"[\1 ...]", metavar)  # [STR [STR ...]]: one name is enough
    return " ".join(filter(None, [", ".join(action.option_strings), metavar]))


def _sentence(text: str | None) -> str:
    """Join a help text's lines, without what says nothing."""
    plain = " ".join((text or "").split()).replace("``", "").replace("%%", "%")  # argparse escapes percent signs
    return re.sub(r" ?\((required|default: (None|True|False|))\)", "", plain)


def _row(name: str, text: str, width: int) -> str:
    lines = textwrap.wrap(text, max(width - _COLUMN, 24), break_on_hyphens=False) or [""]
    if len(name) + 4 > _COLUMN:
        lines.insert(0, "")
    return "\n".join([f"  {name:<{_COLUMN - 2}}{lines[0]}".rstrip(), *(" " * _COLUMN + line for line in lines[1:])])
