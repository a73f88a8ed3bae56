"""Tests of JSON as typed records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mcore.common.errors import BundleError, UserError
from mcore.common.typed_json import convert, decode, encode


@dataclass(frozen=True)
class Part:
    """A record within a record."""

    name: str
    length_mm: float = 1.0


@dataclass(frozen=True)
class Whole:
    """A record with its own check."""

    parts: tuple[Part, ...]
    count: int

    def __post_init__(self) -> None:
        if self.count < 0:
            raise UserError(f"count is {self.count}; allowed: from 0 on")


def test_there_and_back() -> None:
    whole = Whole((Part("a", 2.5), Part("ü")), 2)
    assert decode(Whole, encode(whole), "x") == whole
    assert decode(Whole, encode(whole, indent=2), "x") == whole
    assert convert(Whole, {"parts": [], "count": 0}, "x") == Whole((), 0)
    assert encode([float("nan"), 1.5]) == "[null,1.5]"


def test_paths_and_numbers_kept_as_text() -> None:
    assert decode(dict[str, Path], '{"a": "b/c"}', "x") == {"a": Path("b/c")}
    with pytest.raises(UserError, match="Expected `path`, got `int`"):
        convert(Path, 3, "x")
    assert convert(Part, {"name": "a", "length_mm": "2.5"}, "x", strict=False) == Part("a", 2.5)
    with pytest.raises(UserError, match="`length_mm`"):
        convert(Part, {"name": "a", "length_mm": "2.5"}, "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"parts": [], "count": "2"}', r"x\.json: Expected `int`, got `str` - at `count`"),
        ('{"parts": [], "count": true}', r"Expected `int`, got `bool` - at `count`"),
        ('{"parts": [{"name": 3}], "count": 1}', r"Expected `str`, got `int` - at `parts\[0\]\.name`"),
        ('{"count": 1}', r"missing required field `parts`"),
        ('{"parts": [], "count": -1}', r"x\.json: .*count is -1; allowed: from 0 on"),
        ("{", r"x\.json: Input data was truncated"),
        ("[" * 100_000, r"x\.json: "),
        ("[]", r"Expected `object`, got `array`"),
    ],
)
def test_what_does_not_fit_is_named(text: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        decode(Whole, text, "x.json", error=BundleError)
