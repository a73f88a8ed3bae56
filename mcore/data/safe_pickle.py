"""Reading of pickled labels without running what a pickle may hold: numbers, text, containers and numpy arrays only.

A pickle is a program: it names callables, and the unpickler calls them. Here every name but the few that numpy
arrays and sets need is refused, and even these stand for records that are checked before an array is made of them:
numpy's own would let a forged array header read foreign memory. Pickles of protocol 0 to 5 and of Python 2 are read.
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
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
# What the C unpickler and the records raise on damaged or forged streams.
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
        """Return what stands for an allowed name.

        Raises:
            UserError: any other.
        """
        # Python 2 and older and newer numpy have other names of the same modules.
        module = {"__builtin__": "builtins"}.get(module, module.replace("numpy._core.", "numpy.core."))
        known = _NAMES.get((module, name))
        if known is None:
            raise UserError(
                f"{self._path} is refused: loading it would call {module}.{name}, which is not data. Allowed: "
                f"{ALLOWED}. Do not load this file with another tool unless you trust who made it"
            )
        # A pickle can set attributes of what it is given: classes refuse that, a function is wrapped anew each time.
        return known if isinstance(known, type) else _Call(known)

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


class _Call:
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


class _Array:
    """Stands for an array: keeps its pickled state, of which ``build`` makes the array when all is read."""

    def __init__(self, *_arguments: object) -> None:  # numpy begins with an empty array, and its state follows
        self._state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._state = state

    def build(self, done: dict[int, object]) -> NDArray[Any]:
        """Make the array; its bytes or its objects must be there, as many as its shape says."""
        *_version, shape, dtype, fortran, data = self._state
        if not isinstance(dtype, _Dtype):
            raise TypeError(f"{dtype!r} where an array's type belongs")
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"{shape!r} is no shape")
        count, order = math.prod(shape), cast("Any", "F" if fortran else "C")
        if dtype.dtype.hasobject:
            if not isinstance(data, list) or len(data) != count:
                raise ValueError(f"an object array of shape {shape} without its {count} values")
            objects: NDArray[Any] = np.fromiter((_plain(value, done) for value in data), object, count)
            return objects.reshape(shape, order=order)
        data = data.encode("latin1") if isinstance(data, str) else data  # Python 2's bytes
        if not isinstance(data, bytes | bytearray) or len(data) != count * dtype.dtype.itemsize:
            raise ValueError(f"an array of shape {shape} and type {dtype.dtype} without its bytes")
        array: NDArray[Any] = np.ndarray(shape, dtype.dtype, data, order=order).copy(order)
        return array


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> _Array:
    """Stand for ``numpy.core.numeric._frombuffer``, which protocol 5 calls."""
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _scalar(dtype: object, data: object = b"") -> np.generic:
    """Stand for ``numpy.core.multiarray.scalar``."""
    if isinstance(dtype, _Dtype) and not dtype.dtype.itemsize:  # an empty text
        return cast("np.generic", dtype.dtype.type())
    array = _Array()
    array.__setstate__((1, (), dtype, False, data))
    return cast("np.generic", array.build({})[()])


def _encode(text: object, encoding: object) -> bytes:
    """Stand for ``_codecs.encode``, which is how protocols 0 to 2 keep bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError(f"bytes kept as {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """Stand for ``bytes``, which protocols 0 to 2 call for empty ones; given a number it would make so many."""
    return b""


_NAMES: Mapping[tuple[str, str], Callable[..., object]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytes"): _empty_bytes,
}


def _plain(value: object, done: dict[int, object]) -> object:
    """Copy a value with arrays in place of their records; refuse whatever else is left.

    ``done`` holds what was copied, by identity: values may share parts, and sharing must not multiply them.
    """
    if type(value) in _PLAIN or isinstance(value, np.generic):
        return value
    if id(value) in done:
        return done[id(value)]
    copy: object
    if type(value) is _Array:
        copy = value.build(done)
    elif type(value) is dict:
        copy = {_plain(key, done): _plain(item, done) for key, item in value.items()}
    elif type(value) in (list, tuple, set, frozenset):
        copy = type(value)(_plain(item, done) for item in cast("list[object]", value))  # type: ignore[call-arg]
    else:
        raise TypeError(f"a {type(value).__name__} is not data")
    done[id(value)] = copy
    return copy
