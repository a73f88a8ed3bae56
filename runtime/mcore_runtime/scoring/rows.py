"""File of scores that grows dive by dive: JSON lines, with which a run that was interrupted goes on.

The first line says what is scored with what (``rows_head``). Each other line is a dive: its ``index`` in the list,
counted from 0, and every key that it has in the document of ``scores_document``. They stand in the order in which they
were finished.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mcore
from mcore.common.errors import UserError
from mcore.common.files import sync_folder
from mcore_runtime.scoring.batch import DiveOutcome, DiveRequest, document_head
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import Scorer

ROWS_FORMAT = "mcore-score-rows"
_SYNC_S = 1.0
"""A power cut costs the dives of so many seconds; they are scored again."""
_MUST_AGREE = {
    ("bundle", "sha256"): "the bundle is another one",
    ("list", "num_dives"): "the list has other dives",
    ("list", "sha256"): "the list has other dives",
}
"""What decides the scores, by its place in the first line; with all of ``options``."""
_MAX_SHOWN = 24
"""Characters of a value in a message: enough to tell hashes apart."""
_BEGINNING = json.dumps({"format": ROWS_FORMAT})[:-1].encode()
"""Of the first line; nothing else is taken for a piece of it, and cut off."""


def rows_head(scorer: Scorer, requests: Sequence[DiveRequest], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first line: ``format``, ``bundle`` as in the document of scores, ``list`` and ``options``.

    Args:
        scorer: of the bundle; its backend and precision are the run's.
        requests: all dives of the list.
        options: what else decides the scores, by the names of the flags.
    """
    listed = hashlib.sha256()
    for request in requests:
        listed.update(json.dumps(asdict(request), default=str).encode() + b"\n")
    return {
        **document_head(scorer, ROWS_FORMAT),
        "list": {"num_dives": len(requests), "sha256": listed.hexdigest()},
        "options": {
            "version": mcore.__version__,
            "backend": scorer.backend.name,
            "precision": scorer.compute_dtype,
            **options,
        },
    }


class RowsFile:
    """Rows on disk, open to be added to by one process; a context manager.

    Args:
        path: the file.
        head: what ``rows_head`` returned.
        resume: go on with the file if it is there; else it must not be.

    Raises:
        UserError: it is there, or is of another list, bundle or other options, damaged, or in use.
    """

    def __init__(self, path: Path, head: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        """Dives by their status."""
        self._head = head
        self._places: dict[int, tuple[int, int]] = {}
        """Where the line of each dive begins and ends, bytes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | (0 if resume else os.O_EXCL)
            self._file = os.open(path, flags, 0o666)
        except FileExistsError:
            raise UserError(f"{path} is there already; go on with it with --resume, or choose another name") from None
        try:
            _lock(self._file, path)
            self._end = self._read()
            os.ftruncate(self._file, self._end)
            if not self._end:
                self._write(head)
                sync_folder(path.parent)
        except BaseException:
            os.close(self._file)
            raise
        self._synced_s = time.monotonic()

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)

    def __contains__(self, index: int) -> bool:
        return index in self._places

    def __len__(self) -> int:
        """Dives that are there."""
        return len(self._places)

    def append(self, index: int, outcome: DiveOutcome) -> None:
        """Add a dive; it survives whatever happens to this process, and a second later also a power cut.

        Raises:
            UserError: there is no space, or the file cannot be written to; what is there stays whole.
        """
        if index in self._places:
            raise ValueError(f"dive {index} is there already")
        begin = self._end
        self._write({"index": index, **outcome.to_json()})
        self._places[index] = begin, self._end
        self.counts[outcome.status] += 1
        if time.monotonic() - self._synced_s > _SYNC_S:
            os.fsync(self._file)
            self._synced_s = time.monotonic()

    def outcomes(self, requests: Sequence[DiveRequest]) -> list[DiveOutcome]:
        """Read the dives that are there, in the order of the list.

        Args:
            requests: all dives of the list.
        """
        found = []
        with self.path.open("rb") as file:
            for index in sorted(self._places):
                begin, end = self._places[index]
                file.seek(begin)
                row = json.loads(file.read(end - begin))
                result = None if row["error"] is not None else DiveScore.from_json(row)
                accept_unlike = bool(self._head["options"]["accept_unlike"])
                found.append(DiveOutcome(requests[index], result, row["error"], accept_unlike))
        return found

    def _write(self, row: Mapping[str, Any]) -> None:
        content = json.dumps(row, allow_nan=False).encode() + b"\n"
        written = 0
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            while written < len(content):
                written += os.write(self._file, content[written:])
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise UserError(
                f"cannot write to {self.path}: {error.strerror}; {len(self)} dives are safe in it. Check the disk and "
                "its free space, and go on with --resume"
            ) from error
        self._end += len(content)

    def _read(self) -> int:
        """Read what is there; return where the last whole line ends: a crash may have left a piece of another."""
        end = torn_at = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                row = _whole_row(line)
                if number == 1 and not (line.startswith(_BEGINNING) or (row is None and _BEGINNING.startswith(line))):
                    raise UserError(f"{self.path} is no file of mcore-score --out; choose another name")
                if row is None:
                    torn_at = torn_at or number
                    continue
                if torn_at:
                    raise UserError(
                        f"{self.path} is damaged: line {torn_at} is no row, and others follow it. Begin anew in "
                        "another file"
                    )
                if number == 1:
                    check_head(self.path, row, self._head)
                else:
                    self._remember(row, end, end + len(line), number)
                end += len(line)
        return end

    def _remember(self, row: Mapping[str, Any], begin: int, end: int, number: int) -> None:
        index, status = row.get("index"), row.get("status")
        last = self._head["list"]["num_dives"] - 1
        if not isinstance(index, int) or not 0 <= index <= last or index in self._places:
            raise UserError(
                f"{self.path}, line {number}: index is {index!r}; every dive has one, 0 to {last}, once. Begin anew in "
                "another file"
            )
        self._places[index] = begin, end
        self.counts[str(status)] += 1


def check_head(path: Path, there: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    """See that what is there is of the same list, bundle and options.

    Args:
        path: what is gone on with.
        there: its head.
        head: what ``rows_head`` returned now.

    Raises:
        UserError: it is of something else.
    """
    options = {("options", name): f"{name} is another" for name in head["options"]}
    for (part, name), what in (_MUST_AGREE | options).items():
        content, now = there.get(part), head[part]
        before = content.get(name) if isinstance(content, dict) else None
        if before != now[name]:
            raise UserError(
                f"{path} cannot be gone on with: {what} ({str(before)[:_MAX_SHOWN]}, now "
                f"{str(now[name])[:_MAX_SHOWN]}). Give the same as before, or begin anew elsewhere"
            )


def _whole_row(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _lock(file: int, path: Path) -> None:
    """Keep other processes out until this one ends; file systems without locks do without."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"another mcore-score writes to {path}; wait for it, or choose another name") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            raise
