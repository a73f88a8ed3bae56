"""Errors that a person can act on, and the one place that turns them into an exit code.

Each message says what was wrong, what was found, what is allowed, and what to do next.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

from mcore.common.printable import PrintableStream, printable_message


class UserError(Exception):
    """Something the user gave cannot be used; commands exit with code 2 and print only the message."""


class MissingDependencyError(UserError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class ClipError(UserError):
    """A video or image folder cannot be read as a clip: missing, empty, truncated, or not a video."""


class DiveNumberError(UserError):
    """Not a dive number of the diving rules."""


class CheckpointError(UserError):
    """A file is not a checkpoint, or not one of this network."""


class BundleError(UserError):
    """A bundle is incomplete, changed since its export, or of another format version."""


class ExportError(Exception):
    """An exported part does not compute what the checkpoint computes; nothing was written."""


def first_line(error: BaseException) -> str:
    """Return a foreign error's message in one line; its type's name where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def run_command(command: Callable[[], int]) -> int:
    """Run the body of a command line and return its exit code.

    Args:
        command: returns the exit code of a run that went through.

    Returns:
        The command's own code; 2 for an error of use, or a place that cannot be written or read (message on
        stderr, no traceback); 1 for a failed export; 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal lacks must not end hours of work
            stream.reconfigure(errors="backslashreplace")
    with redirect_stdout(PrintableStream(sys.stdout)), redirect_stderr(PrintableStream(sys.stderr)):
        return _run(command)


def _run(command: Callable[[], int]) -> int:
    try:
        return command()
    except UserError as error:
        print(printable_message(f"error: {error}"), file=sys.stderr)
        return 2
    except ExportError as error:
        print(printable_message(f"failed: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `mcore-score ... | head` is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a folder that must not be written to, a full disk
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = error.filename2 or error.filename  # of a copy the second is the one that was written
        where = "" if place is None else f"{place}: "
        advice = "check rights and free space, or choose another place"
        print(printable_message(f"error: {where}{error.strerror}; {advice}"), file=sys.stderr)
        return 2
