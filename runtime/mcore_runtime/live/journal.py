"""Results as lines of JSON that survive a crash, a power cut and a full disk."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from mcore.errors import UserError
from mcore.files import sync_folder


class Journal:
    """Appends records to a file, each on the disk before ``write`` returns; a context manager.

    Args:
        path: the file; made where it is not there. A last line that a power cut tore off is removed, see ``torn``.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.torn = b""
        """What stood after the last whole line when the file was opened."""
        self._unwritten: list[bytes] = []
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115 - closed by close()
            self._end = self._mend()
            sync_folder(self.path.parent)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}; choose another place") from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, record: dict[str, Any]) -> str | None:
        """Append a record.

        Where it cannot be written it is kept, and tried again with the next one and at the end.

        Returns:
            Why it could not be written; None: it is on the disk.
        """
        line = json.dumps(record, allow_nan=False, ensure_ascii=True)
        self._unwritten.append(line.encode() + b"\n")
        return self._flush()

    def close(self) -> str | None:
        """Try to write what is left, and close the file; returns why that failed."""
        if self._file.closed:
            return None
        problem = self._flush()
        self._file.close()
        return problem

    def _flush(self) -> str | None:
        try:
            while self._unwritten:
                _write_all(self._file.fileno(), self._unwritten[0])
                os.fsync(self._file.fileno())
                self._end += len(self._unwritten[0])
                del self._unwritten[0]
        except OSError as error:
            self._cut_off()
            return f"{self.path}: {error.strerror or error}"
        return None

    def _cut_off(self) -> None:
        """Remove what was written of a line, so that the file stays lines of JSON."""
        with suppress(OSError):
            os.ftruncate(self._file.fileno(), self._end)

    def _mend(self) -> int:
        """Return the length of the whole lines, after removing what follows them."""
        self._file.seek(0)
        content = self._file.read()
        end = content.rfind(b"\n") + 1
        self.torn = content[end:]
        if self.torn:
            os.ftruncate(self._file.fileno(), end)
            os.fsync(self._file.fileno())
        return end


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
