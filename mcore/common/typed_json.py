"""JSON to typed records and back, by msgspec: the one decoder for every file and message that crosses an edge.

manifest = decode(BundleManifest, text, "bundle/manifest.json")
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from mcore.common.errors import UserError

Record = TypeVar("Record")


def decode(kind: type[Record], text: str | bytes, what: str, *, error: type[UserError] = UserError) -> Record:
    """Read JSON as a frozen dataclass, a mapping or a list, with the types that it promises.

    Args:
        kind: type of the result; its own ``__post_init__`` checks run too.
        text: the JSON document.
        what: begins the message, such as the file's name.
        error: raised instead of UserError.

    Raises:
        UserError: not JSON, a field is missing, or a value has another type.
    """
    try:
        return msgspec.json.decode(text, type=kind, dec_hook=_decode_other)
    except UserError as refused:  # from a record's own checks
        raise error(f"{what}: {refused}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as refused:
        raise error(f"{what}: {_plain(refused)}") from None


def convert(
    kind: type[Record], value: Any, what: str, *, error: type[UserError] = UserError, strict: bool = True
) -> Record:
    """Like ``decode``, for plain containers that are already read; with ``strict`` off also numbers kept as text."""
    try:
        return msgspec.convert(value, kind, strict=strict, dec_hook=_decode_other)
    except UserError as refused:
        raise error(f"{what}: {refused}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as refused:
        raise error(f"{what}: {_plain(refused)}") from None


def decode_object(text: str, what: str) -> dict[str, Any]:
    """Read a JSON object that a person may have written: no name twice, no NaN.

    Args:
        text: the JSON document.
        what: begins the message, such as the file's name.

    Raises:
        UserError: not JSON, not an object, nested too deeply, or a name is there twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
    except (UserError, ValueError, RecursionError) as refused:
        reason = str(refused).partition("; use sys.")[0]  # of a number with thousands of digits
        raise UserError(f"{what}: not JSON that can be read: {reason}") from None
    if not isinstance(value, dict):
        raise UserError(f"{what}: expected an object in braces, got {type(value).__name__}")
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise UserError(f"the name {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise UserError(f"{name} is not a number of JSON")


def encode(value: Any, *, indent: int | None = None) -> str:
    """Write a record as JSON; numbers that are not finite become null."""
    text = msgspec.json.encode(value)
    return (text if indent is None else msgspec.json.format(text, indent=indent)).decode()


def _decode_other(kind: type, value: Any) -> Any:
    """Decode what msgspec leaves to us: paths."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"Expected `{kind.__name__.lower()}`, got `{type(value).__name__}`")


def _plain(error: Exception) -> str:
    """Msgspec's words without its JSON path's leading dollar sign."""
    return str(error).replace("`$.", "`").replace("`$`", "the document")
