"""Arrays from files: what was written comes back, and a forged file is an error of one line that takes no memory."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.common.arrays import read_arrays

HEADER = "{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"


def forged(header: str, data: bytes = b"", compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    text = header.encode().ljust(117) + b"\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data)
    return content


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "numbers": np.arange(6.0).reshape(2, 3), "text": np.array(["407C", "é"]), "one": np.array("x"),
        "none": np.zeros((0, 3)), "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    }  # fmt: skip
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    read = read_arrays(tmp_path / "a.npz")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(read[name], array)
        assert read[name].dtype == array.dtype


@pytest.mark.parametrize(
    "shape", ["(10**15,)", "(1000000000000000,)", "(-1,)", "(2, -2)", "(4.5,)", "'x'", "(True,)", f"({'9' * 90},)", "3"]
)
def test_forged_shapes(shape: str) -> None:
    with pytest.raises(ValueError, match=r"^.+$"):
        read_arrays(forged(HEADER.format(descr="<f8", shape=shape), b"12345678"))


@pytest.mark.parametrize("descr", ["|O", "<f9999999999", "(1000000000,)f8", "x", "<U0"])
def test_forged_types(descr: str) -> None:
    with pytest.raises(ValueError, match=r"^.+$"):
        read_arrays(forged(HEADER.format(descr=descr, shape="(1000000000000,)"), b"\x80\x04N."))


def test_bombs_are_refused_before_they_are_unpacked() -> None:
    bomb = forged(HEADER.format(descr="|u1", shape="(50000000,)"), bytes(50_000_000))
    assert len(bomb.getvalue()) < 100_000
    with pytest.raises(ValueError, match=r"unpacked it has 500\d+ bytes; at most 1000000"):
        read_arrays(bomb, max_bytes=1_000_000)


@given(st.binary(max_size=200), st.booleans())
def test_no_header_does_anything_but_load_or_explain(data: bytes, is_archive: bool) -> None:
    try:
        read_arrays(forged(data.decode("latin-1")[:117], data) if is_archive else io.BytesIO(data))
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
