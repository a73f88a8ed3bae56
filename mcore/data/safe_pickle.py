"""Read pickled labels without running what a pickle may hold: numbers, text, plain containers and numpy arrays only.

A pickle is a program: it names callables, and the unpickler calls them. Here every name but the few that numpy
arrays and sets need is refused, and even these are stand-ins that check what they are given: numpy's own would let
a forged array header read foreign memory. Pickles of protocol 0 to 5 and of Python 2 are read.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError

ALLOWED = "numbers, text, bytes, None, lists, tuples, dictionaries, sets, numpy arrays and numpy numbers"

_DTYPE = re.compile(r"[<>|=]?(\?|b1|[iu][1248]|f[248]|c(?:8|16)|[SU]\d{1,6}|O8?)")
_PLAIN = (bool, int, float, complex, str, bytes, bytearray, type(None), np.generic)
# What the C unpickler and the stand-ins raise on damaged or forged streams.
_BROKEN = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def load_pickle(path: str | Path) -> object:
    """Read a pickle of plain data.

    Args:
        path: the file; of any protocol, also written by Python 2 (its byte strings become ``str``).

    Returns:
        The value, made of ``ALLOWED`` and nothing else.

    Raises:
        UserError: no such file, not a pickle, damaged, or it names something that is not data (said by name).
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        _check_sizes(raw)
        return _plain(_Unpickler(io.BytesIO(raw), path).load(), {})
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except _BROKEN as error:
        raise UserError(
            f"{path} is not a pickle of plain data, or is damaged ({type(error).__name__}: {error}); allowed: "
            f"{ALLOWED}. Fetch the file again"
        ) from error


class _Unpickler(pickle.Unpickler):
    """Finds only the names that arrays and sets need."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="latin1")  # what numpy asks for to read Python 2's arrays
        self._path = path

    def find_class(self, module: str, name: str) -> object:
        """Return the stand-in of an allowed global.

        Raises:
            UserError: any other.
        """
        known = _GLOBALS.get((_canonical(module), name))
        if known is None:
            raise UserError(
                f"{self._path} is refused: loading it would call {module}.{name}, which is not data. Allowed: "
                f"{ALLOWED}. Do not load this file with another tool unless you trust who made it"
            )
        # A fresh one each time: a pickle can set attributes of what it was given.
        return known if isinstance(known, type) else _Callable(known)

    def persistent_load(self, pid: object) -> object:
        """Refuse references to objects outside the pickle."""
        raise UserError(f"{self._path} is refused: it refers to an object outside itself ({pid!r})")


def _check_sizes(raw: bytes) -> None:
    """Refuse a stream that asks for more memory than its own length explains, before it is loaded.

    Raises:
        ValueError: not the opcodes of a pickle, or a frame or memo index beyond the end.
    """
    for opcode, argument, _ in pickletools.genops(raw):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "FRAME") and (argument or 0) > len(raw):
            raise ValueError(f"{opcode.name} {argument} in a file of {len(raw)} bytes")


class _Callable:
    """One of the functions below, as the unpickler calls it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)


class _Dtype:
    """Stands for ``numpy.dtype``: a simple type, never a structure with foreign flags."""

    def __init__(self, code: str, *_flags: object) -> None:
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise ValueError(f"arrays of type {code!r} are not read")
        self.dtype = np.dtype(code.replace("O8", "O"))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, *structure = state
        if order not in tuple("<>|=") or any(part is not None for part in structure[:3]):
            raise ValueError(f"a structured array type {state!r} is not read")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array that checks its pickled state before numpy sees it."""

    def __setstate__(self, state: Any) -> None:
        *_version, shape, dtype, fortran, data = state
        real = _real_dtype(dtype)
        count = _count(shape)
        if real.hasobject:
            if not isinstance(data, list) or len(data) != count:
                raise ValueError(f"an object array of shape {shape} without its {count} values")
        else:
            data = data.encode("latin1") if isinstance(data, str) else data  # Python 2's bytes
            if not isinstance(data, bytes) or len(data) != count * real.itemsize:
                raise ValueError(f"an array of shape {shape} and type {real} without its bytes")
        super().__setstate__(cast("Any", (1, shape, real, bool(fortran), data)))


def _reconstruct(subtype: object, shape: object, _code: object) -> NDArray[Any]:
    """Stand for ``numpy.core.multiarray._reconstruct``: the empty array that a state then fills."""
    if shape != (0,):
        raise ValueError(f"an array that starts with shape {shape!r}")
    empty: NDArray[Any] = np.zeros((0,), np.int8).view(_Array)
    return empty


def _from_buffer(data: object, dtype: object, shape: object, order: object, *_axes: object) -> NDArray[Any]:
    """Stand for ``numpy.core.numeric._frombuffer`` (protocol 5)."""
    real = _real_dtype(dtype)
    if real.hasobject or not isinstance(data, bytes | bytearray) or order not in ("C", "F") or _axes:
        raise ValueError(f"an array buffer of type {real} in order {order!r}")
    if len(data) != _count(shape) * real.itemsize:
        raise ValueError(f"an array of shape {shape} and type {real} without its bytes")
    flat = np.frombuffer(bytes(data), real).copy()
    array: NDArray[Any] = flat.reshape(cast("tuple[int, ...]", shape), order=cast("Any", order))
    return array.view(_Array)  # a state that follows is checked too


def _scalar(dtype: object, data: object = b"") -> np.generic:
    """Stand for ``numpy.core.multiarray.scalar``."""
    real = _real_dtype(dtype)
    data = data.encode("latin1") if isinstance(data, str) else data
    if real.hasobject or not isinstance(data, bytes) or len(data) != real.itemsize:
        raise ValueError(f"a number of type {real} without its bytes")
    return cast("np.generic", np.frombuffer(data, real)[0]) if real.itemsize else real.type()


def _encode(text: object, encoding: object) -> bytes:
    """Stand for ``_codecs.encode``, which is how protocols 0 to 2 keep bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError(f"bytes kept as {encoding!r}")
    return text.encode("latin1")


def _bytes(value: object = b"") -> bytes:
    """Stand for ``bytes``; a number would ask for that many."""
    if not isinstance(value, bytes | list):
        raise TypeError(f"bytes made of a {type(value).__name__}")
    return bytes(value)


def _bytearray(value: object = b"", encoding: object = None) -> bytearray:
    """Stand for ``bytearray``, kept as text by protocols 0 to 2."""
    return bytearray(_bytes(value) if encoding is None else _encode(value, str(encoding).replace("-", "")))


def _array_type(*_arguments: object) -> NDArray[Any]:
    """Stand for ``numpy.ndarray``, which pickles only pass on: called, it could be given foreign memory."""
    raise TypeError("an array made without its state")


_GLOBALS: Mapping[tuple[str, str], Callable[..., object]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _array_type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytearray,
}
"""Python 2 and older and newer numpy use other names of the same; see ``_canonical``."""


def _canonical(module: str) -> str:
    return {"__builtin__": "builtins"}.get(module, module.replace("numpy._core.", "numpy.core."))


def _real_dtype(dtype: object) -> np.dtype[Any]:
    if not isinstance(dtype, _Dtype):
        raise TypeError(f"{dtype!r} where an array's type belongs")
    return dtype.dtype


def _count(shape: object) -> int:
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{shape!r} is no shape")
    return math.prod(shape)


def _plain(value: object, done: dict[int, object]) -> object:
    """Copy a value with real arrays in place of stand-ins; refuse whatever else is left.

    ``done`` holds what was copied, by identity: values may share parts, and sharing must not multiply them.
    """
    if type(value) in _PLAIN or isinstance(value, np.generic):
        return value
    if id(value) in done:
        return done[id(value)]
    copy: object
    if isinstance(value, np.ndarray):
        copy = np.array(value, subok=False)
        if copy.dtype.hasobject:
            copy.flat[:] = np.fromiter((_plain(item, done) for item in copy.flat), object, copy.size)
    elif type(value) is dict:
        copy = {_plain(key, done): _plain(item, done) for key, item in value.items()}
    elif type(value) in (list, tuple, set, frozenset):
        copy = type(value)(_plain(item, done) for item in cast("list[object]", value))  # type: ignore[call-arg]
    else:
        raise TypeError(f"a {type(value).__name__} is not data")
    done[id(value)] = copy
    return copy
