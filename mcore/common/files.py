"""Writing of files that are whole or not there: a crash or a full disk leaves what was there before."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcore.common.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a hidden path beside ``path``, of the same ending, to be written; at the end it replaces ``path``.

    Its name is random, so that several threads, processes or machines can write the same file, and the last one
    wins; on an error ``path`` stays as it was. The folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the name of a new file survive a power cut too, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> int:
    """Write a UTF-8 file, all or nothing, and return its size in bytes.

    A name of a file that is not UTF-8 can be within the text; what cannot be written of it becomes a question mark.

    Raises:
        UserError: the place cannot be written to.
    """
    content = text.encode("utf-8", errors="replace")
    try:
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
    return len(content)
