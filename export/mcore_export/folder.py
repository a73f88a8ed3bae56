"""A folder that appears whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcore.common.errors import UserError
from mcore_runtime.bundle.folder import MANIFEST_FILE, Bundle


def check_target(out: Path, *, force: bool) -> None:
    """Refuse to replace anything by accident, and anything that is not a bundle at all.

    Raises:
        UserError: ``out`` exists and may not be replaced.
    """
    if not out.exists():
        return
    if not (out / MANIFEST_FILE).is_file():
        raise UserError(f"{out} exists and is not a bundle, so it will not be replaced; choose another --out")
    if not force:
        raise UserError(f"{out} already exists; replace it with --force, or choose another --out")
    if Path.cwd().is_relative_to(out.resolve()):
        raise UserError(f"{out} cannot be replaced from inside: run the command in another folder")


def copy_bundle(bundle: Bundle, folder: Path) -> None:
    """Copy the files that a bundle's manifest lists: its folder may hold other things, or even the copy."""
    for name in bundle.manifest.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, folder / name)


@contextmanager
def appearing_folder(out: Path) -> Iterator[Path]:
    """Fill a hidden folder beside ``out`` and move it there at the end; on an error ``out`` stays as it was.

    Raises:
        UserError: ``out`` was not there at the beginning and is at the end, so that nobody allowed its replacement.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    _remove_orphans(out)
    replaces = out.exists()
    hidden = Path(tempfile.mkdtemp(prefix=f".{out.name}.{os.getpid()}-", dir=out.parent))
    folder = hidden / "new"
    folder.mkdir()
    try:
        yield folder
        if out.exists() and not replaces:
            raise UserError(f"{out} was made by someone else meanwhile, and stays; choose another --out, or --force")
        _move(folder, out, hidden / "old")
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _remove_orphans(out: Path) -> None:
    """Remove what processes that were killed left beside ``out``; a bundle that one of them had moved aside returns."""
    for hidden in out.parent.glob(f".{glob.escape(out.name)}.*-*"):
        pid = hidden.name.removeprefix(f".{out.name}.").partition("-")[0]
        if not pid.isdecimal() or _is_running(int(pid)):
            continue
        if (hidden / "old").is_dir() and not out.exists():
            (hidden / "old").rename(out)
        shutil.rmtree(hidden, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _move(folder: Path, out: Path, old: Path) -> None:
    """Put a folder in the place of another, which goes to ``old``; or back, where that fails."""
    if not out.exists():
        folder.rename(out)
        return
    out.rename(old)
    try:
        folder.rename(out)
    except BaseException:
        old.rename(out)
        raise
