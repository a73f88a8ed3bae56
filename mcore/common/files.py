"""Files: written atomically, and found whichever Unicode form their names have."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
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


def as_spelled(path: Path) -> Path:
    """Return a path with the names that the file system has for them, where they differ in Unicode's form only.

    An accented letter can be one character (NFC), or a letter and a sign (NFD), as macOS writes some names. Both look
    alike and are one name here; a file of exactly the given name comes first.
    """
    if str(path).isascii() or path.exists():
        return path
    folder = as_spelled(path.parent)
    with suppress(OSError):
        there = _names(folder, folder.stat().st_mtime_ns)
        return folder / there.get(unicodedata.normalize("NFC", path.name), path.name)
    return folder / path.name


@lru_cache(maxsize=16)
def _names(folder: Path, changed_ns: int) -> dict[str, str]:
    """Names in a folder by their composed forms; cached, because a list names thousands of files of one folder."""
    return {unicodedata.normalize("NFC", name): name for name in sorted(os.listdir(folder))}
