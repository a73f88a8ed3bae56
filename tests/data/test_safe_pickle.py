"""Pickles of plain data are read exactly; everything else is refused by name before it runs."""

from __future__ import annotations

import builtins
import contextlib
import operator
import os
import pickle
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore.data.safe_pickle import load_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS: dict[str, Any] = {
    "float64": np.arange(6, dtype=np.float64).reshape(2, 3) / 7,
    "big-endian": np.arange(4, dtype=">i4"),
    "float16": np.arange(4, dtype=np.float16),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "strided": np.arange(12).reshape(3, 4)[:, ::2],
    "bool": np.array([True, False]),
    "text": np.array(["Entry", "3.5 Soms.Tuck"]),
    "bytes": np.array([b"a", b"bc"]),
    "empty": np.zeros((0, 3)),
    "no axes": np.array(3.5),
    "objects": np.array([[1, "two"], [None, 4.0]], dtype=object),
}


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def write(path: Path, value: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_survives(tmp_path: Path, protocol: int) -> None:
    value = {
        ("01", 1): ["407C", 88.0, 3.2, [2, 34], ["Inward"] * 3],
        "text": "Männer",
        "bytes": (b"", b"\x00\xff"),
        "sets": [{1, 2}, frozenset("ab")],
        "others": (None, True, -(2**80), 1.5),
    }
    assert load_pickle(write(tmp_path / "a.pkl", value, protocol)) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_survive(tmp_path: Path, protocol: int, name: str) -> None:
    loaded = load_pickle(write(tmp_path / "a.pkl", {"a": ARRAYS[name]}, protocol))
    assert isinstance(loaded, dict)
    array = loaded["a"]
    assert type(array) is np.ndarray
    # numpy too turns big-endian values into native ones, before protocol 5
    assert array.dtype.newbyteorder("=") == ARRAYS[name].dtype.newbyteorder("=")
    np.testing.assert_array_equal(array, ARRAYS[name])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", [np.float64(3.2), np.int64(-4), np.bool_(True), np.str_("407C"), np.str_("")])
def test_numpy_numbers_survive(tmp_path: Path, protocol: int, value: np.generic) -> None:
    loaded = load_pickle(write(tmp_path / "a.pkl", [value], protocol))
    assert isinstance(loaded, list)
    assert loaded == [value]
    assert type(loaded[0]) is type(value)


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_python_2_pickles_are_read(tmp_path: Path, module: bytes) -> None:
    # What Python 2 wrote for {'score': numpy.array([1.0, 2.5]), 'clip': ('01', 1)} with protocol 2.
    array = (
        b"c" + module + b"\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x10" + np.array([1.0, 2.5]).tobytes() + b"tb"
    )
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02}(U\x05score" + array + b"U\x04clipU\x0201K\x01\x86u.")
    loaded = load_pickle(path)
    assert isinstance(loaded, dict)
    assert loaded["clip"] == ("01", 1)
    np.testing.assert_array_equal(loaded["score"], [1.0, 2.5])


MALICE: dict[str, tuple[Any, str]] = {
    "os.system": (Calls(os.system, "touch OWNED"), "system"),
    "eval": (Calls(builtins.eval, "open('OWNED', 'w')"), "eval"),
    "exec": (Calls(builtins.exec, "open('OWNED', 'w')"), "exec"),
    "getattr": (Calls(getattr, "x", "upper"), "getattr"),
    "open": (Calls(open, "OWNED", "w"), "open"),
    "import": (Calls(__import__, "os"), "__import__"),
    "attrgetter": (Calls(operator.attrgetter, "a"), "attrgetter"),
    "numpy.load": (Calls(np.load, "x.npy", None, True), "load"),
    "a class": (PurePosixPath("a"), "PurePosixPath"),
    "a function as a value": (os.getcwd, "getcwd"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", MALICE)
@pytest.mark.parametrize("wrap", ["bare", "list", "dict key", "dict value", "tuple", "object array", "nested"])
def test_malice_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int, name: str, wrap: str
) -> None:
    monkeypatch.chdir(tmp_path)
    value, named = MALICE[name]
    array = np.empty((2,), object)
    array[:] = [1, value]
    wrapped: object = {
        "bare": value,
        "list": [1, value],
        "dict key": {value: 1},
        "dict value": {"a": value},
        "tuple": (1, (value,)),
        "object array": array,
        "nested": {("01", 1): ["407C", 88.0, [np.arange(3), {"x": (array,)}]]},
    }[wrap]
    with pytest.raises(UserError, match=rf"refused.*\.{named}, which is not data"):
        load_pickle(write(tmp_path / "a.pkl", wrapped, protocol))
    assert not (tmp_path / "OWNED").exists()


FORGED = {
    "array given memory": b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x0f\x85\x85R.",
    "array with too few bytes": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x7f\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R\x89U\x02abtb."
    ),
    "objects from bytes": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R\x89U\x08aaaaaaaatb."
    ),
    "structured type": (
        b"\x80\x02cnumpy\ndtype\nU\x02V8K\x00K\x01\x87R(K\x03U\x01|NU\x01f}U\x01fcnumpy\ndtype\nU\x02O8\x85RsK\x08K\x01K\x10tb."
    ),
    "large bytes": b"\x80\x02c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.",
    "a stand-in as the value": b"\x80\x02cnumpy\ndtype\nU\x02f8\x85R.",
    "a function as the value": b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
    "other codecs": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
    "a huge memo": b"\x80\x02K\x01r\xff\xff\xff\x0f.",
    "a huge frame": b"\x80\x04\x95\xff\xff\xff\xff\x0f\x00\x00\x00K\x01.",
    "reference to outside": b"\x80\x02K\x01Q.",
    "extension registry": b"\x80\x02\x82\x01.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "nothing": b"",
    "cut short": pickle.dumps({"a": list(range(100))})[:-20],
    "no pickle": b"dive_number,score\n",
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_and_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(FORGED[name])
    with pytest.raises(UserError, match=r"a\.pkl"):
        load_pickle(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        load_pickle(tmp_path / "a.pkl")


def test_sharing_does_not_multiply(tmp_path: Path) -> None:
    value: list[object] = []
    for _ in range(200):  # written out it would have 2^200 items
        value = [value, value]
    assert isinstance(load_pickle(write(tmp_path / "a.pkl", value)), list)


@settings(max_examples=200)
@given(st.data())
def test_changed_bytes_never_do_anything_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    raw = bytearray(pickle.dumps({("01", 1): ["407C", np.arange(5), {1}]}, data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.pkl"
    path.write_bytes(raw)
    with contextlib.suppress(UserError):
        load_pickle(path)
