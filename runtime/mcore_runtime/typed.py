"""What came from JSON against the types that dataclasses promise, which Python itself does not check."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def misfit(value: object, hint: Any, name: str) -> str | None:
    """Name the first part of a value that is not of its type: ``files.golden.npz.bytes is 'x'``; None: all are.

    Args:
        value: a dataclass, or what is in its fields.
        hint: its type; numbers, strings, ``Literal``, unions, tuples, mappings and dataclasses are understood.
        name: how the message begins.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        fits = any(misfit(value, choice, name) is None for choice in arguments)
        return None if fits else _first([misfit(value, c, name) for c in arguments if c is not type(None)])
    if origin is Literal:
        return None if value in arguments else f"{name} is {value!r}"
    kind = origin or hint
    if not isinstance(value, (int, float) if kind is float else kind) or (isinstance(value, bool) and kind is not bool):
        return f"{name} is {value!r}"
    if dataclasses.is_dataclass(value):
        hints = get_type_hints(kind)
        fields = dataclasses.fields(value)
        return _first([misfit(getattr(value, f.name), hints[f.name], f"{name}.{f.name}") for f in fields])
    if isinstance(value, tuple):
        of = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(of) != len(value):
            return f"{name} is {value!r}"
        return _first(
            [misfit(item, kind, f"{name}[{i}]") for i, (item, kind) in enumerate(zip(value, of, strict=True))]
        )
    if isinstance(value, Mapping):
        keys = [misfit(key, arguments[0], f"a name in {name}") for key in value]
        return _first([*keys, *(misfit(item, arguments[1], f"{name}.{key}") for key, item in value.items())])
    return None


def _first(found: list[str | None]) -> str | None:
    return next((text for text in found if text is not None), None)
