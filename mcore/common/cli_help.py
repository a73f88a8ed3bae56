"""Help texts of the command lines, made from their modules' docstrings."""

from __future__ import annotations

import re


def description(docstring: str | None) -> str:
    """Keep a docstring's indented example lines apart: tyro would join the lines of a paragraph.

    Args:
        docstring: a module's ``__doc__``; None where Python runs without docstrings.
    """
    return re.sub(r"\n+ {4}(?=\S)", "\n\n", docstring or "")
