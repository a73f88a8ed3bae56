"""Writing of result files: all or nothing, and a message instead of a traceback when it cannot be done."""

from __future__ import annotations

import os
from pathlib import Path

from mcore.errors import UserError


def write_text(path: str | Path, text: str) -> int:
    """Write a UTF-8 file atomically, making its folder where needed, and return its size in bytes.

    Raises:
        UserError: the place cannot be written to.
    """
    path = Path(path)
    content = text.encode("utf-8")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
    return len(content)
