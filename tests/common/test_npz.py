"""Archives of arrays: what they will inflate to is known before, and headers that lie are refused."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from mcore.common.npz import read_arrays


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    arrays = {
        "names": np.array(["José", ""]),
        "scores": np.arange(6.0).reshape(2, 3),
        "turned": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "one": np.array(7),
        "none": np.empty((0, 4), np.float32),
        "is_good": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
        found = read_arrays(tmp_path / "a.npz")
        assert found.keys() == arrays.keys()
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name], values)
            assert found[name].dtype == values.dtype
            assert found[name].flags.writeable


def archive(member: bytes, name: str = "a.npy") -> io.BytesIO:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, member)
    content.seek(0)
    return content


def array_bytes(shape: tuple[int, ...], data: bytes, descr: str = "<f4") -> bytes:
    head = io.BytesIO()
    npy.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": shape})
    return head.getvalue() + data


@contextmanager
def little_memory() -> Iterator[None]:
    """Fail where more than 10 MB are taken within."""
    tracemalloc.start()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10_000_000


@pytest.mark.parametrize(
    "content",
    [
        archive(array_bytes((10**12,), bytes(40))),
        archive(array_bytes((10**6, 10**6, 10**6), bytes(40))),
        archive(array_bytes((-1, 10), bytes(40))),
        archive(array_bytes((9,), bytes(40))),
        archive(array_bytes((5,), bytes(40), "|O")),
        archive(b"\x93NUMPY\x07\x00 no such version"),
        archive(b"no array"),
        archive(b""),
        io.BytesIO(b"no archive"),
        io.BytesIO(archive(array_bytes((10,), bytes(40))).getvalue()[:-30]),
    ],
)
def test_headers_that_lie(content: io.BytesIO) -> None:
    with little_memory(), pytest.raises(ValueError):
        read_arrays(content)


def test_a_small_file_that_inflates_to_much_is_refused_before(tmp_path: Path) -> None:
    bomb = archive(array_bytes((25_000_000,), bytes(100_000_000)))
    assert len(bomb.getvalue()) < 200_000
    with little_memory(), pytest.raises(ValueError, match=r"100,000,\d{3} bytes, at most 50,000,000 are read"):
        read_arrays(bomb, max_bytes=50_000_000)
