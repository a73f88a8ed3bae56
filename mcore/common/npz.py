"""Reading of ``.npz`` files with a limit: a few kilobytes may say that they hold terabytes."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MAX_BYTES = 1 << 30
"""Of all arrays of a file together: several times the largest bank of exemplars."""
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_arrays(file: str | Path | IO[bytes], max_bytes: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file, after a look at how large they will be.

    Args:
        file: path or content.
        max_bytes: more than this together is refused before anything is inflated.

    Raises:
        ValueError: not such a file, damaged, too large, or with a header that does not fit its array.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > max_bytes:
                raise ValueError(f"its arrays have {total:,} bytes, at most {max_bytes:,} are read")
            return {member.filename.removesuffix(".npy"): _read_member(archive, member) for member in members}
    except (KeyError, OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{member.filename} has version {version} of its format")
        shape, fortran_order, dtype = _HEADERS[version](stream)
        count = math.prod(shape)
        # NumPy would make room for whatever shape the header says.
        if dtype.hasobject or min(shape, default=0) < 0 or count * dtype.itemsize != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} is no array of {dtype} {shape}")
        values = np.frombuffer(bytearray(stream.read()), dtype, count)
    return values.reshape(shape, order="F" if fortran_order else "C")
