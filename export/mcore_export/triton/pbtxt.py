"""Protocol buffers in their text form, as ``config.pbtxt`` is written; the schema is Triton's ``ModelConfig``.

A message is a mapping of field names. A list repeats its field; ``Enum`` is written without quotes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

Value = Union[str, int, bool, "Enum", "Message", Sequence["Value"]]
Message = Mapping[str, Value]


class Enum(str):
    """Name of an enumeration's value, such as ``TYPE_FP32``."""


def render(message: Message, indent: int = 0) -> str:
    """Write a message, one field a line.

    Args:
        message: its fields in order; empty lists leave out their field.
        indent: spaces before each line.
    """
    return "".join(_field(name, value, " " * indent) for name, value in message.items())


def entries(values: Mapping[str, Value]) -> list[Value]:
    """Write a ``map`` field: a message with ``key`` and ``value`` for each entry."""
    return [{"key": key, "value": value} for key, value in values.items()]


def _field(name: str, value: Value, margin: str) -> str:
    if isinstance(value, Mapping):
        return f"{margin}{name} {{\n{render(value, len(margin) + 2)}{margin}}}\n"
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(item, (int, str)) for item in value):
            return f"{margin}{name}: [{', '.join(_scalar(item) for item in value)}]\n"
        return "".join(_field(name, item, margin) for item in value)
    return f"{margin}{name}: {_scalar(value)}\n"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (Enum, int)) else _quote(str(value))


def _quote(text: str) -> str:
    """Printable ASCII as it is, all other bytes in octal, which every reader of the text form knows."""
    printable = {byte: chr(byte) for byte in range(32, 127)} | {ord('"'): '\\"', ord("\\"): "\\\\"}
    return '"' + "".join(printable.get(byte, f"\\{byte:03o}") for byte in text.encode()) + '"'
