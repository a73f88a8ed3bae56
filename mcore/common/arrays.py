"""Arrays from ``.npz`` files that anybody may have written: no pickles, and no memory for what a file only claims."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MAX_BYTES = 2_000_000_000
"""All arrays of a file together, unpacked."""


def read_arrays(source: str | Path | IO[bytes], max_bytes: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file, by name.

    Args:
        source: a ``.npz`` file.
        max_bytes: larger contents are refused before they are unpacked.

    Raises:
        ValueError: not such a file, or an array whose declared shape is not what the file holds.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if (size := sum(member.file_size for member in members)) > max_bytes:
                raise ValueError(f"unpacked it has {size} bytes; at most {max_bytes}")
            return {member.filename.removesuffix(".npy"): _read(archive, member) for member in members}
    except OSError:
        raise
    except Exception as error:  # a forged header fails in as many ways as zipfile, zlib and NumPy have lines
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        claimed, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if dtype.hasobject or min(shape, default=0) < 0 or claimed != held:
            raise ValueError(f"{member.filename} claims {dtype} of shape {shape}, and holds {held} bytes")
        file.seek(0)
        array: NDArray[Any] = np.asarray(npy.read_array(file, allow_pickle=False))
        return array
