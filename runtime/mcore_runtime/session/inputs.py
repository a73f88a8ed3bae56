"""The frames of a dive exactly as the network took them, in one file, so that it can be scored again.

Frames are kept as differences from the frame before (modulo 256): lossless, and with the fastest compression a third
smaller and quicker than the frames themselves at the best (2.2 MB and 0.1 s for 96 frames of a rendered pool).
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from mcore.common.errors import UserError
from mcore.common.files import replacing, sync_folder
from mcore.common.npz import read_arrays
from mcore.video import SampledClip

INPUTS_FOLDER = "inputs"
_FASTEST = 1


@dataclass(frozen=True)
class InputRow:
    """Row of the session's database about a file of frames."""

    file: str
    """Path below the session's folder, with forward slashes."""
    sha256: str
    bytes: int


def input_file(number: int) -> str:
    """Return where a dive's frames are kept, below the session's folder."""
    return f"{INPUTS_FOLDER}/dive-{number:04d}.npz"


def pack_clip(clip: SampledClip) -> bytes:
    """Return a clip as the content of an ``.npz`` file, which ``unpack_clip`` gives back bit for bit."""
    frames = clip.frames
    differences = np.concatenate([frames[:1], frames[1:] - frames[:-1]])  # (T, H, W, 3) uint8, wraps around
    arrays = {
        "frame_differences": differences,
        "pts_seconds": clip.pts_seconds,
        "indices": clip.indices,
        "num_source_frames": np.int64(clip.num_source_frames),
        "duration_s": np.float64(clip.duration_s),
        "source_size": np.array([clip.source_width, clip.source_height], np.int64),
        "source": np.array(clip.source),
        "reader": np.array(clip.reader),
        "notes": np.array(clip.notes, np.str_),
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=_FASTEST) as archive:
        for name, value in arrays.items():
            # Opened by name, a member gets a fixed date: the same clip has the same digest.
            with archive.open(f"{name}.npy", "w") as member:
                npy.write_array(member, np.asarray(value), allow_pickle=False)
    return content.getvalue()


def unpack_clip(content: bytes) -> SampledClip:
    """Return the clip that ``pack_clip`` was given.

    Raises:
        ValueError: it is not such a file.
    """
    try:
        arrays = read_arrays(io.BytesIO(content))
        width, height = arrays["source_size"].tolist()
        return SampledClip(
            frames=np.cumsum(arrays["frame_differences"], axis=0, dtype=np.uint8),
            pts_seconds=arrays["pts_seconds"],
            indices=arrays["indices"],
            num_source_frames=int(arrays["num_source_frames"]),
            duration_s=float(arrays["duration_s"]),
            source_width=width,
            source_height=height,
            source=str(arrays["source"]),
            reader=str(arrays["reader"]),
            notes=tuple(arrays["notes"].tolist()) if "notes" in arrays else (),  # earlier sessions have none
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not the frames of a dive: {error}") from error


def write_input(folder: Path, number: int, content: bytes) -> InputRow:
    """Write a dive's frames below a session's folder, whole or not at all, and on the disk when it returns.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    name = input_file(number)
    path = folder / name
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    return describe(name, content)


def describe(name: str, content: bytes) -> InputRow:
    """Return the row of a file's content."""
    return InputRow(name, hashlib.sha256(content).hexdigest(), len(content))


def read_input(folder: Path, number: int, row: InputRow | None) -> SampledClip:
    """Read a dive's frames.

    Raises:
        UserError: none were kept, or the file is not there, or is not the one that was written.
    """
    if row is None:
        raise UserError(f"no frames of dive {number} were kept, so it cannot be scored again")
    path = folder / row.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the frames of dive {number}: {path}: {error.strerror or error}") from error
    found = describe(row.file, content)
    if found != row:
        raise UserError(
            f"{path} is not the file that was written: expected {row.bytes} bytes with SHA-256 {row.sha256[:16]}..., "
            f"got {found.bytes} bytes with {found.sha256[:16]}...; copy it again from where the session was recorded"
        )
    try:
        return unpack_clip(content)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def tidy(folder: Path, known: set[int], dives: set[int]) -> dict[int, InputRow]:
    """Clear up what a killed process left: remove unfinished files, and return finished ones that no row names.

    Args:
        folder: the session's.
        known: dives whose file has a row.
        dives: dives of the session.
    """
    inputs = folder / INPUTS_FOLDER
    for unfinished in inputs.glob(".dive-*.npz"):
        unfinished.unlink(missing_ok=True)
    found = {}
    for number in sorted(dives - known):
        name = input_file(number)
        if (folder / name).is_file():  # renamed to this name when it was on the disk: it is whole
            found[number] = describe(name, (folder / name).read_bytes())
    return found
